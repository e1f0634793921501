import { expect, test } from 'vitest';
import { normal, randomKey } from '../core/random.ts';
import type { FeatureSet } from './matrix-product.ts';
import { slicedWasserstein, wassersteinOnLine } from './sliced-wasserstein.ts';

const key = randomKey(4);
const cloud = (seed: number, count: number, width: number, deviation = 1, shift = 0): FeatureSet => ({
  values: normal(randomKey(seed), count * width).map((value) => deviation * value + shift),
  width,
});

test('on a line, sorted samples are matched; of different numbers, in parts', () => {
  const [a, b] = [Float64Array.of(0, 1, 5), Float64Array.of(1, 1, 9)];
  expect(wassersteinOnLine(a, b, 1)).toBeCloseTo(5 / 3, 12);
  expect(wassersteinOnLine(a, b, 2)).toBeCloseTo(17 / 3, 12);
  expect(wassersteinOnLine(Float64Array.of(0, 1), Float64Array.of(0, 2, 4), 1)).toBeCloseTo(
    (2 + 1 + 3 + 3) / 6,
    12,
  );
});

test('of normal distributions it is |μ₁ − μ₂|² / D + (σ₁ − σ₂)²', async () => {
  const [a, b] = [cloud(1, 4000, 5), cloud(2, 4000, 5, 3, 0.5)];
  const distance = await slicedWasserstein(a, b, { key, projections: 200 });
  expect(distance / (0.25 + 4)).toBeGreaterThan(0.95);
  expect(distance / (0.25 + 4)).toBeLessThan(1.05);
});

test('a set moved by d is at d·θ along each direction θ', async () => {
  const a = cloud(1, 50, 1);
  const b = { ...a, values: a.values.map((value) => value + 2) };
  expect(await slicedWasserstein(a, b, { key, projections: 3 })).toBeCloseTo(4, 5);
  expect(await slicedWasserstein(a, b, { key, projections: 3, power: 1 })).toBeCloseTo(2, 5);
});

test('is zero of itself in any order, twice over too, and the same both ways', async () => {
  const [a, b] = [cloud(1, 40, 3), cloud(2, 30, 3, 2)];
  const reversed = {
    width: 3,
    values: a.values.map((_, i) => a.values[(39 - Math.floor(i / 3)) * 3 + (i % 3)]!),
  };
  const twice = { width: 3, values: Float32Array.from([...a.values, ...reversed.values]) };
  const options = { key, projections: 20 };
  for (const same of [a, reversed, twice])
    expect(await slicedWasserstein(a, same, options)).toBeLessThan(1e-24);
  expect(await slicedWasserstein(b, a, options)).toBeCloseTo(await slicedWasserstein(a, b, options), 12);
});

test('features of different kinds are refused', async () => {
  await expect(
    slicedWasserstein(cloud(1, 3, 2), cloud(1, 3, 3), { key }),
  ).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ShapeError: ShapeError: slicedWasserstein: one side has 3 samples of 2 features, the other 3 of 3
      fix: compare samples of the same kind of features]
  `);
});
