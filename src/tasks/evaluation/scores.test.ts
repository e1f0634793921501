import { expect, test } from 'vitest';
import { normal, randomKey } from '../../core/random.ts';
import type { FeatureSet } from '../../metrics/matrix-product.ts';
import { plainProduct } from '../../metrics/matrix-product.ts';
import { FeatureMoments, featureStatistics } from '../../metrics/moments.ts';
import { type Side, scoresOf, statisticsOf, USUAL_COUNT } from './scores.ts';

const WIDTH = 3;
const cloud = (seed: number, count: number, spread: number): FeatureSet => ({
  values: normal(randomKey(seed), count * WIDTH).map((value) => spread * value),
  width: WIDTH,
});
const sideOf = (name: string, features: FeatureSet): Side => ({
  ...{ name, features, count: features.values.length / WIDTH },
  statistics: new Map([['features', featureStatistics(features.values, WIDTH)]]),
});
const options = { product: plainProduct, k: 3 } as const;

test('precision is of the samples, recall of the reference', async () => {
  // Samples that are all alike lie among the real ones, and hold few of those.
  const [wide, narrow] = [sideOf('wide', cloud(1, 60, 1)), sideOf('narrow', cloud(2, 60, 0.1))];
  const { scores } = await scoresOf(wide, narrow, { ...options, metrics: ['pr'] });
  expect(scores.map(({ label, remark }) => [label, remark])).toEqual([
    ['precision', 'k = 3: samples within the reference'],
    ['recall', 'k = 3: reference within the samples'],
  ]);
  const [precision, recall] = scores.map(({ value }) => value);
  expect([precision! > 0.9, recall! < 0.1]).toEqual([true, true]);
  const exchanged = await scoresOf(narrow, wide, { ...options, metrics: ['pr'] });
  expect(exchanged.scores.map(({ value }) => value)).toEqual([recall, precision]);
});

test('labels tell the number of samples, but for the usual one', async () => {
  const [reference, samples] = [sideOf('real', cloud(1, 40, 1)), sideOf('drawn', cloud(2, 30, 1))];
  const labelsOf = async (count: number) => {
    const { scores } = await scoresOf(
      reference,
      { ...samples, count },
      { ...options, metrics: ['fid', 'mind'] },
    );
    return scores.map(({ label }) => label);
  };
  expect(await labelsOf(30)).toEqual(['FID-30', 'MIND-30']);
  expect(await labelsOf(USUAL_COUNT)).toEqual(['FID', 'MIND']);
});

test('of a metric for which there are too few pictures both numbers are told, and the others are measured', async () => {
  const sides = [sideOf('real', cloud(1, 40, 1)), sideOf('drawn', cloud(2, 4, 1))] as const;
  const metrics = ['pr', 'dc', 'kid', 'mind'] as const;
  const { scores, omitted } = await scoresOf(...sides, { ...options, metrics });
  expect(new Set(scores.map(({ metric }) => metric))).toEqual(new Set(['pr', 'kid', 'mind']));
  expect(omitted).toEqual([['dc', 'drawn has 4 pictures, and 6 are needed']]);
  const { omitted: more } = await scoresOf(...sides, { ...options, metrics, k: 4 });
  expect(more[0]).toEqual(['pr', 'drawn has 4 pictures, and 5 are needed']);
});

test('of a single picture there is no covariance', () => {
  const moments = (count: number) => new FeatureMoments(WIDTH).add(cloud(1, count, 1).values);
  expect(statisticsOf(new Map([['features', moments(1)]])).size).toBe(0);
  expect(statisticsOf(new Map([['features', moments(2)]])).size).toBe(1);
});
