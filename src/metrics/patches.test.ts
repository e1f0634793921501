import { describe, expect, test } from 'vitest';
import { expectClose } from '../../test/support/closeness.ts';
import { fold, normal, randomKey } from '../core/random.ts';
import {
  laplacianPyramid,
  type Planes,
  patchDescriptors,
  pyramidDistance,
  pyramidPatches,
  pyramidSizes,
} from './patches.ts';

const key = randomKey(6);
const picture = (seed: number, size = 32, gain = 1): Planes => ({
  channels: 2,
  height: size,
  width: size,
  values: normal(randomKey(seed), 2 * size * size).map((value) => gain * value),
});
const descriptors = (pictures: readonly Planes[], numbers = [...pictures.keys()]) => {
  const parts = pictures.map((each, i) => pyramidPatches(each, fold(key, numbers[i]!), 64));
  return parts[0]!.map((_, level) =>
    patchDescriptors(
      parts.map((levels) => levels[level]!),
      2,
    ),
  );
};

test('levels halve the sides down to 16', () => {
  expect(pyramidSizes({ height: 64, width: 96 })).toEqual([
    [64, 96],
    [32, 48],
    [16, 24],
  ]);
  expect(pyramidSizes({ height: 30, width: 30 })).toEqual([[30, 30]]);
  expect(() => pyramidSizes({ height: 8, width: 16 })).toThrowErrorMatchingInlineSnapshot(`
    [ShapeError: ShapeError: SWD: pictures of 8×16 pixels are smaller than 16
      fix: compare pictures of 16 pixels and more]
  `);
});

describe('a pyramid', () => {
  test('of an even surface has no details', () => {
    const even = { ...picture(1), values: new Float32Array(2 * 32 * 32).fill(3) };
    const [details, rest] = laplacianPyramid(even);
    // The mirrored border sees the empty pixels between those of the half unevenly; the inside is exact.
    const inside = details!.values.filter((_, i) => {
      const [row, column] = [Math.floor(i / 32) % 32, i % 32];
      return Math.min(row, column) >= 2 && Math.max(row, column) < 30;
    });
    expect(Math.max(...inside.map(Math.abs))).toBeLessThan(1e-6);
    expectClose(rest!.values, new Float32Array(2 * 16 * 16).fill(3), { relative: 1e-6 });
  });

  test('of a checkerboard of single pixels has nothing else', () => {
    const checks = {
      ...picture(1),
      values: Float32Array.from({ length: 2048 }, (_, i) => ((i + Math.floor(i / 32)) % 2) * 2 - 1),
    };
    const [details, rest] = laplacianPyramid(checks);
    expectClose(details!.values, checks.values, { relative: 1e-6 });
    expect(Math.max(...rest!.values.map(Math.abs))).toBeLessThan(1e-6);
  });
});

test('descriptors have mean 0 and deviation 1 in each channel, and a brighter set has the same', () => {
  const [finest] = descriptors([picture(1), picture(2)]);
  expect(finest).toMatchObject({ width: 98 });
  const channel = finest!.values.filter((_, i) => i % 98 < 49);
  const mean = channel.reduce((sum, value) => sum + value, 0) / channel.length;
  expect(mean).toBeCloseTo(0, 6);
  expect(channel.reduce((sum, value) => sum + (value - mean) ** 2, 0) / channel.length).toBeCloseTo(1, 5);
  const [brighter] = descriptors([picture(1, 32, 2), picture(2, 32, 2)]);
  expectClose(brighter!.values, finest!.values, { relative: 1e-5 });
});

describe('the distance', () => {
  const [a, b] = [
    [1, 2, 3, 4, 9, 10],
    [5, 6, 7, 8, 11, 12],
  ].map((seeds) => seeds.map((seed) => picture(seed)));
  /** Every picture of a brightness of its own, which the coarse level shows. */
  const lit = b!.map((each, i) => ({ ...each, values: each.values.map((value) => value + 20 * (i % 2)) }));
  const options = { key: fold(key, 'axes'), projections: 32 };

  test('is zero of itself, the same both ways, and larger where brightness varies', async () => {
    expect(await pyramidDistance(descriptors(a!), descriptors(a!), options)).toEqual({
      levels: [0, 0],
      mean: 0,
    });
    const there = await pyramidDistance(descriptors(a!), descriptors(b!), options);
    const back = await pyramidDistance(descriptors(b!), descriptors(a!), options);
    expectClose(back.levels, there.levels, { relative: 1e-12 });
    const other = await pyramidDistance(descriptors(a!), descriptors(lit), options);
    expect(other.levels[1]).toBeGreaterThan(2 * there.levels[1]!);
  });

  test('does not depend on the order, where pictures are named by their number', async () => {
    const numbers = [...a!.keys()];
    const reversed = descriptors([...a!].reverse(), [...numbers].reverse());
    expect((await pyramidDistance(descriptors(a!), reversed, options)).mean).toBeLessThan(1e-3);
  });

  test('of pictures of different sizes is refused', async () => {
    await expect(
      pyramidDistance(descriptors(a!), descriptors([picture(1, 16)]), options),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: SWD: one side has 2 levels, the other 1
        fix: compare pictures of one size]
    `);
  });
});
