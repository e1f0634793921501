import { expect, test } from 'vitest';
import { normal, randomKey } from '../core/random.ts';
import { kernelDistance } from './kernel-distance.ts';
import type { FeatureSet } from './matrix-product.ts';

const key = randomKey(9);
const cloud = (seed: number, count: number, width: number, shift = 0): FeatureSet => ({
  values: normal(randomKey(seed), count * width).map((value) => value + shift),
  width,
});

test('two samples each, by hand', async () => {
  const [a, b] = [Float32Array.of(1, 2), Float32Array.of(0, -1)].map((values) => ({ values, width: 1 }));
  const cube = (x: number) => (x + 1) ** 3;
  const within = (2 * cube(1 * 2) + 2 * cube(0 * -1)) / 2;
  const between = (2 * (cube(0) + cube(-1) + cube(0) + cube(-2))) / 4;
  const { mean, deviation } = await kernelDistance(a!, b!, { key, subsets: 3 });
  expect(mean).toBeCloseTo(within - between, 12);
  // Every subset is everything.
  expect(deviation).toBeCloseTo(0, 12);
});

test('of normal distributions N(0, 1) and N(1, 1) in one dimension it is that of their moments', async () => {
  // E (xy + 1)³ = E x³ E y³ + 3 E x² E y² + 3 E x E y + 1, with moments 0, 1, 0 and 1, 2, 4.
  const exact = 3 + 1 + (16 + 12 + 3 + 1) - 2 * (3 * 2 + 1);
  const { mean, deviation } = await kernelDistance(cloud(1, 4000, 1), cloud(2, 4000, 1, 1), {
    ...{ key, subsets: 40, subsetSize: 200 },
  });
  expect(Math.abs(mean - exact)).toBeLessThan((4 * deviation!) / Math.sqrt(40) + 1.5);
  expect(deviation).toBeLessThan(exact / 2);
});

test('of one distribution it is zero but for chance, below zero as well, and the same both ways', async () => {
  const [a, b] = [cloud(1, 300, 4), cloud(2, 300, 4)];
  const options = { key, subsets: 30, subsetSize: 100 };
  const { mean, deviation } = await kernelDistance(a, b, options);
  expect(Math.abs(mean)).toBeLessThan(deviation!);
  const far = await kernelDistance(a, cloud(3, 300, 4, 2), options);
  expect(far.mean).toBeGreaterThan(10 * Math.abs(mean));
  const whole = { ...options, subsets: 1, subsetSize: 300 };
  expect((await kernelDistance(b, a, whole)).mean).toBeCloseTo((await kernelDistance(a, b, whole)).mean, 6);
});

test('features of different kinds, and single samples, are refused', async () => {
  await expect(
    kernelDistance(cloud(1, 5, 2), cloud(1, 5, 3), { key }),
  ).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ShapeError: ShapeError: kernelDistance: one side has 5 samples of 2 features, the other 5 of 3
      fix: compare at least two samples of the same kind of features]
  `);
  await expect(kernelDistance(cloud(1, 1, 2), cloud(1, 5, 2), { key })).rejects.toThrowError(
    'at least two samples',
  );
});
