import { expect, test } from 'vitest';
import { expectClose } from '../../test/support/closeness.ts';
import { normal, randomKey } from '../core/random.ts';
import { FeatureMoments, featureStatistics } from './moments.ts';

const WIDTH = 5;
const features = normal(randomKey(3), 37 * WIDTH).map((value, i) => value + 100 * (i % WIDTH));

test('mean and covariance are those of the definition', () => {
  const { mean, covariance } = featureStatistics(features, WIDTH);
  const rows = Array.from({ length: 37 }, (_, n) => features.subarray(n * WIDTH, (n + 1) * WIDTH));
  const average = (of: (row: Float32Array) => number, divisor = 37) =>
    rows.reduce((sum, row) => sum + of(row), 0) / divisor;
  const means = Array.from({ length: WIDTH }, (_, a) => average((row) => row[a]!));
  expectClose(mean, means, { relative: 1e-14 });
  const products = Array.from({ length: WIDTH ** 2 }, (_, at) => {
    const [a, b] = [Math.floor(at / WIDTH), at % WIDTH];
    return average((row) => (row[a]! - means[a]!) * (row[b]! - means[b]!), 36);
  });
  expectClose(covariance, products, { relative: 1e-12 });
});

test('batches of any size give the same bits', () => {
  const whole = featureStatistics(features, WIDTH);
  for (const batch of [1, 3, 8, 36]) {
    const moments = new FeatureMoments(WIDTH);
    for (let start = 0; start < 37; start += batch) {
      moments.add(features.subarray(start * WIDTH, Math.min(37, start + batch) * WIDTH));
    }
    expect(moments.count).toBe(37);
    expect(moments.statistics()).toEqual(whole);
  }
});

test('another order rounds differently and nothing else', () => {
  const reversed = Float32Array.from(features, (_, i) => {
    const [row, column] = [Math.floor(i / WIDTH), i % WIDTH];
    return features[(36 - row) * WIDTH + column]!;
  });
  const [a, b] = [featureStatistics(features, WIDTH), featureStatistics(reversed, WIDTH)];
  expectClose(b.mean, a.mean, { relative: 1e-14 });
  expectClose(b.covariance, a.covariance, { relative: 1e-12 });
});

test('statistics may be read on the way', () => {
  const moments = new FeatureMoments(WIDTH).add(features.subarray(0, 20 * WIDTH));
  const early = moments.statistics();
  expect(early).toEqual(featureStatistics(features.subarray(0, 20 * WIDTH), WIDTH));
  expect(moments.add(features.subarray(20 * WIDTH)).statistics()).toEqual(featureStatistics(features, WIDTH));
});

test('a part of a sample, or one alone, is refused', () => {
  expect(() => featureStatistics([1, 2, 3], 2)).toThrowErrorMatchingInlineSnapshot(`
    [ShapeError: ShapeError: FeatureMoments: 3 values are 1.5 samples of 2 features
      fix: add whole samples]
  `);
  expect(() => featureStatistics([1, 2], 2)).toThrowErrorMatchingInlineSnapshot(`
    [ShapeError: ShapeError: FeatureMoments: a covariance needs two samples, but there are 1
      fix: give at least two whole samples]
  `);
});
