import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { expectClose } from '../../test/support/closeness.ts';
import { toNumbers } from '../core/host-tensor.ts';
import { normal, randomKey } from '../core/random.ts';
import { parseSafetensors } from '../formats/safetensors.ts';
import { frechetDistance, frechetParts } from './frechet.ts';
import { type FeatureStatistics, featureStatistics } from './moments.ts';

/** Of N random samples whose features depend on each other. */
function randomStatistics(seed: number, count: number, width: number): FeatureStatistics {
  const values = normal(randomKey(seed), count * width);
  const mixed = values.map((value, i) => value + 0.5 * (values[i - 1] ?? 0) + 0.1 * seed);
  return featureStatistics(mixed, width);
}

describe('the distance', () => {
  test('of normal distributions along their common axes is that of means and deviations', () => {
    const along = (mean: readonly number[], deviations: readonly number[]): FeatureStatistics => ({
      mean: Float64Array.from(mean),
      covariance: Float64Array.from([deviations[0]! ** 2, 0, 0, deviations[1]! ** 2]),
    });
    const distance = frechetDistance(along([1, -2], [3, 0.5]), along([2, 0], [1, 4]));
    expect(distance).toBeCloseTo(1 + 4 + (3 - 1) ** 2 + (0.5 - 4) ** 2, 12);
  });

  test('of covariances that do not commute is that of 2×2 matrices in closed form', () => {
    // tr √M = √(tr M + 2 √det M) for M = Σ₁Σ₂ of 2×2.
    const [a, b] = [
      [2, 1, 1, 3],
      [5, -2, -2, 1],
    ] as const;
    const trace = a[0] * b[0] + a[1] * b[2] + a[2] * b[1] + a[3] * b[3];
    const determinant = (a[0] * a[3] - a[1] * a[2]) * (b[0] * b[3] - b[1] * b[2]);
    const statistics = (covariance: readonly number[]): FeatureStatistics => ({
      mean: new Float64Array(2),
      covariance: Float64Array.from(covariance),
    });
    const expected = 5 + 6 - 2 * Math.sqrt(trace + 2 * Math.sqrt(determinant));
    expect(frechetDistance(statistics(a), statistics(b))).toBeCloseTo(expected, 12);
  });

  test.each([
    ['of full rank', 60],
    ['of lower rank', 9],
  ])('to itself is zero, and the same both ways: %s', (_, count) => {
    const [a, b] = [randomStatistics(1, count, 20), randomStatistics(2, count, 20)];
    expect(frechetDistance(a, a)).toBeLessThan(1e-12);
    const { distance, ofMeans, ofCovariances } = frechetParts(a, b);
    expect(distance).toBe(ofMeans + ofCovariances);
    expect(frechetDistance(a, b)).toBeGreaterThan(0.1);
    expect(frechetDistance(b, a)).toBeCloseTo(frechetDistance(a, b), 6);
  });

  test('is never negative, and says what rounding took below zero', () => {
    const covariance = Float64Array.of(0.1, 0.03, 0.03, 0.7);
    const same = { mean: Float64Array.of(1, 2), covariance };
    const { distance, ofCovariances } = frechetParts(same, same);
    expect(distance).toBe(Math.max(0, ofCovariances));
    expect(Math.abs(ofCovariances)).toBeLessThan(1e-14);
  });

  test.each([
    ['fid_500x64', 1e-6],
    ['fid_constant_feature', 1e-6],
    ['fid_signed_300x16', 1e-6],
    ['fid_singular_40x64', 1e-4],
  ])('is what was recorded: %s', (name, relative) => {
    const read = (ending: string) =>
      readFileSync(new URL(`../../test/fixtures/eval/${name}.${ending}`, import.meta.url));
    const { tensors } = parseSafetensors(read('safetensors'), name);
    const [reference, sample] = ['ref', 'sample'].map((side) => {
      const features = tensors.get(side)!;
      return featureStatistics(toNumbers(features), features.shape[1]!);
    });
    const { expected } = JSON.parse(read('json').toString()) as {
      readonly expected: { readonly fid_eigh_float64: number };
    };
    expectClose([frechetDistance(reference!, sample!)], [expected.fid_eigh_float64], { relative });
  });
});

test('features of different kinds are refused', () => {
  const [two, three] = [randomStatistics(1, 9, 2), randomStatistics(1, 9, 3)];
  expect(() => frechetDistance(two, three)).toThrowErrorMatchingInlineSnapshot(`
    [ShapeError: ShapeError: frechetDistance: one side has 2 features, the other 3
      fix: compare features of the same kind]
  `);
});
