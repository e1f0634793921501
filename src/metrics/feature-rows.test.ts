import { expect, test } from 'vitest';
import { normal, randomKey } from '../core/random.ts';
import { type FeatureRows, rowsFrom } from './feature-rows.ts';
import { kernelDistance } from './kernel-distance.ts';
import { manifoldCurve, nearestNeighbours } from './manifold.ts';
import { type FeatureSet, rowsOf } from './matrix-product.ts';
import { slicedWasserstein } from './sliced-wasserstein.ts';

const [WIDTH, COUNT, BLOCK] = [3, 40, 7];
const set = (seed: number, count = COUNT): FeatureSet => ({
  values: normal(randomKey(seed), count * WIDTH),
  width: WIDTH,
});

/** As from a file: every read is a copy, and the most rows read at once are noted. */
function stored(features: FeatureSet): { readonly rows: FeatureRows; readonly most: () => number } {
  const inMemory = rowsFrom(features);
  let most = 0;
  const rows: FeatureRows = {
    ...inMemory,
    async read(start, end) {
      if (end - start < inMemory.count) most = Math.max(most, end - start);
      const { values, width } = rowsOf(features, start, end);
      return { values: values.slice(), width };
    },
  };
  return { rows, most: () => most };
}

test('metrics of rows that are read when they are needed are those of rows in memory', async () => {
  const [reference, samples] = [set(1), set(2, 50)];
  const [a, b] = [stored(reference), stored(samples)];
  const key = randomKey(3);
  expect(await manifoldCurve(a.rows, b.rows, [1, 3], { block: BLOCK })).toEqual(
    await manifoldCurve(reference, samples, [1, 3]),
  );
  expect(a.most()).toBe(BLOCK);
  expect(await nearestNeighbours(b.rows, a.rows, { block: BLOCK })).toEqual(
    await nearestNeighbours(samples, reference),
  );
  const subsets = { key, subsets: 3, subsetSize: 10 };
  expect(await kernelDistance(a.rows, b.rows, subsets)).toEqual(
    await kernelDistance(reference, samples, subsets),
  );
  expect(await slicedWasserstein(a.rows, b.rows, { key, projections: 150 })).toBe(
    await slicedWasserstein(reference, samples, { key, projections: 150 }),
  );
});

test('rows in memory are taken in the order that is asked for', async () => {
  const features = set(1);
  const { values } = await rowsFrom(features).take(Int32Array.of(5, 0));
  expect(values).toEqual(
    Float32Array.from([...features.values.subarray(15, 18), ...features.values.subarray(0, 3)]),
  );
});
