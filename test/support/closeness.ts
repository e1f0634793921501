/** @file Comparing arrays of numbers in tests, with a report that says where and by how much they differ. */
import { expect } from 'vitest';

export interface Tolerance {
  /** Allowed difference as a fraction of the largest expected magnitude. */
  readonly relative: number;
  /** Allowed difference where all expected values are near zero. Default: `relative`. */
  readonly absolute?: number;
}

/**
 * Expects `actual` to agree with `expected` element by element within
 * `max(absolute, relative · max |expected|)`; a difference that is not a number never agrees.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { relative, absolute = relative }: Tolerance,
): void {
  expect(actual.length, 'number of elements').toBe(expected.length);
  let scale = 0;
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(expected[i]!));
  const allowed = Math.max(absolute, relative * scale);
  let total = 0;
  let largest = 0;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = differenceOf(actual[i]!, expected[i]!);
    total += difference;
    if (difference > largest) {
      largest = difference;
      worst = i;
    }
  }
  if (largest <= allowed) return;
  expect.fail(
    `values differ: max ${largest.toExponential(3)}, mean ${(total / expected.length).toExponential(3)}, ` +
      `allowed ${allowed.toExponential(3)}; worst at ${worst}: ${actual[worst]} instead of ${expected[worst]}`,
  );
}

/** Not a number is infinitely far from anything. */
function differenceOf(actual: number, expected: number): number {
  const difference = Math.abs(actual - expected);
  return Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
}
