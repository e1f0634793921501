import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { normal, randomKey } from '../core/random.ts';
import { parseSafetensors } from '../formats/safetensors.ts';
import { manifoldCurve, manifoldScores, nearestNeighbours, neighbourRadii } from './manifold.ts';
import {
  countOf,
  exactSquaredDistance,
  type FeatureSet,
  type MatrixProduct,
  plainProduct,
} from './matrix-product.ts';

const points = (...values: number[]): FeatureSet => ({ values: Float32Array.from(values), width: 1 });
const cloud = (seed: number, count: number, width: number, shift = 0): FeatureSet => ({
  values: normal(randomKey(seed), count * width).map((value) => value + shift),
  width,
});

test('points on a line', async () => {
  // Radii of the reference with k = 1: 1, 1, 2, 6.
  const reference = points(0, 1, 3, 9);
  const samples = points(-0.5, 4.5, 20);
  expect(await neighbourRadii(reference, { k: 1 })).toEqual(Float64Array.of(1, 1, 4, 36));
  expect(await manifoldScores(reference, samples, { k: 1 })).toEqual({
    // −0.5 lies in the ball of 0 alone; 4.5 in those of 3 and 9; 20 in none.
    precision: 2 / 3,
    density: 3 / 3,
    coverage: 3 / 4,
    // The balls of −0.5, 4.5 and 20 reach 5, 5 and 15.5.
    recall: 4 / 4,
  });
});

test('a set lies within its own manifold, even where samples repeat', async () => {
  const set = cloud(1, 30, 4);
  const twice = { values: Float32Array.from([...set.values, ...set.values]), width: 4 };
  for (const each of [set, twice]) {
    const scores = await manifoldScores(each, each, { k: 3 });
    expect([scores.precision, scores.recall, scores.coverage]).toEqual([1, 1, 1]);
  }
});

test('with the sides exchanged, precision and recall are exchanged', async () => {
  const [a, b] = [cloud(1, 60, 3), cloud(2, 50, 3, 0.7)];
  const [there, back] = [await manifoldScores(a, b), await manifoldScores(b, a)];
  expect([back.precision, back.recall]).toEqual([there.recall, there.precision]);
  expect(there.precision).not.toBe(there.recall);
});

test('for several numbers of neighbours they are those of each', async () => {
  const [reference, samples] = [cloud(1, 60, 3), cloud(2, 50, 3, 0.9)];
  const curve = await manifoldCurve(reference, samples, [4, 1, 7, 4]);
  expect(curve.map(({ k }) => k)).toEqual([1, 4, 7]);
  for (const { k, ...scores } of curve)
    expect(scores).toEqual(await manifoldScores(reference, samples, { k }));
  expect(new Set(curve.map(({ recall }) => recall)).size).toBe(3);
});

test('sets far from each other share nothing', async () => {
  expect(await manifoldScores(cloud(1, 20, 3), cloud(2, 20, 3, 100))).toEqual({
    ...{ precision: 0, recall: 0, density: 0, coverage: 0 },
  });
});

describe('scores are those of exact distances', () => {
  /** The definitions, pair by pair in float64. */
  function byDefinition(reference: FeatureSet, samples: FeatureSet, k: number) {
    const indices = (set: FeatureSet) => Array.from({ length: countOf(set) }, (_, i) => i);
    const radii = (set: FeatureSet) =>
      indices(set).map((i) => {
        const others = indices(set).filter((j) => j !== i);
        return others.map((j) => exactSquaredDistance(set, i, set, j)).sort((a, b) => a - b)[k - 1]!;
      });
    const [real, drawn] = [radii(reference), radii(samples)];
    const distance = (i: number, j: number) => exactSquaredDistance(reference, i, samples, j);
    const share = (set: FeatureSet, holds: (i: number) => boolean) =>
      indices(set).filter(holds).length / countOf(set);
    const balls = indices(samples).map(
      (j) => indices(reference).filter((i) => distance(i, j) <= real[i]!).length,
    );
    return {
      precision: share(samples, (j) => balls[j]! > 0),
      recall: share(reference, (i) => indices(samples).some((j) => distance(i, j) <= drawn[j]!)),
      density: balls.reduce((sum, count) => sum + count, 0) / (k * countOf(samples)),
      coverage: share(reference, (i) => indices(samples).some((j) => distance(i, j) <= real[i]!)),
    };
  }

  /** As far off as a product may be: up and down in turns. */
  const coarse: MatrixProduct = async (a, b) => {
    const magnitudes = await plainProduct(
      ...([a, b].map(({ values, width }) => ({ values: values.map(Math.abs), width })) as [
        FeatureSet,
        FeatureSet,
      ]),
    );
    const products = await plainProduct(a, b);
    return products.map((value, i) => value + (i % 2 === 0 ? 1 : -1) * a.width * 2 ** -24 * magnitudes[i]!);
  };

  const [reference, samples] = [cloud(3, 70, 4), cloud(4, 50, 4, 0.4)];
  // Neighbours at equal distances are where a rounding would decide.
  const grid = (count: number): FeatureSet => ({
    values: Float32Array.from({ length: 2 * count }, (_, i) =>
      i % 2 === 0 ? (i / 2) % 6 : Math.floor(i / 12),
    ),
    width: 2,
  });

  test.each([
    ['random points', reference, samples],
    ['points of a grid', grid(36), grid(20)],
  ])('%s, whatever the blocks and the product', async (_, a, b) => {
    for (const k of [1, 3, 5]) {
      const expected = byDefinition(a, b, k);
      for (const options of [{}, { block: 7 }, { product: coarse }, { product: coarse, block: 1 }]) {
        expect(await manifoldScores(a, b, { k, ...options })).toEqual(expected);
      }
    }
  });
});

describe('are what was recorded', () => {
  test.each(['fid_500x64', 'fid_constant_feature', 'fid_signed_300x16', 'fid_singular_40x64'])(
    '%s',
    async (name) => {
      const read = (ending: string) =>
        readFileSync(new URL(`../../test/fixtures/eval/${name}.${ending}`, import.meta.url));
      const { tensors } = parseSafetensors(read('safetensors'), name);
      const [reference, samples] = ['ref', 'sample'].map((side) => {
        const { data, shape } = tensors.get(side)!;
        return { values: data as Float32Array, width: shape[1]! };
      });
      const { expected } = JSON.parse(read('json').toString()) as { expected: Record<string, number> };
      const { precision, recall } = await manifoldScores(reference!, samples!);
      expect([precision, recall]).toEqual([expected.precision_fp32, expected.recall_fp32]);
    },
  );
});

test('nearest neighbours are those of exact distances; of equal ones the first', async () => {
  const { nearest, squared } = await nearestNeighbours(points(0.4, 2, 7, 0.5), points(0, 1, 3, 6), {
    block: 2,
  });
  expect([...nearest]).toEqual([0, 1, 3, 0]);
  expect([...squared].map((value) => Math.round(100 * value) / 100)).toEqual([0.16, 1, 1, 0.25]);
});

test('too few samples, and features of different kinds, are refused', async () => {
  await expect(neighbourRadii(points(1, 2, 3))).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ShapeError: ShapeError: neighbourRadii: 3 samples have no neighbour number 3
      fix: give more than 3 samples]
  `);
  await expect(
    manifoldScores(points(1, 2, 3, 4, 5), cloud(1, 5, 2)),
  ).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ShapeError: ShapeError: manifoldScores: the reference has 1 features, the samples 2
      fix: compare features of the same kind]
  `);
});
