import { describe, expect, test } from 'vitest';
import { expectClose } from '../../test/support/closeness.ts';
import { normal, randomKey } from '../core/random.ts';
import { nuclearNormOfProduct, pivotedCholesky, tridiagonalEigenvalues } from './nuclear-norm.ts';

/** M diag(values) M with the mirror M = 1 − 2 a aᵀ / |a|² of one axis for all matrices of a size. */
function covarianceOf(values: readonly number[]): Float64Array {
  const n = values.length;
  const axis = normal(randomKey(1), n);
  const square = axis.reduce((sum, value) => sum + value * value, 0);
  const mirror = (i: number, k: number) => (i === k ? 1 : 0) - (2 * axis[i]! * axis[k]!) / square;
  return Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    return values.reduce((sum, value, k) => sum + mirror(i, k) * value * mirror(k, j), 0);
  });
}

const norm = (a: readonly number[], b: readonly number[]) => {
  const [first, second] = [a, b].map((values) => pivotedCholesky(covarianceOf(values), values.length));
  return nuclearNormOfProduct(first!, second!);
};
/** tr (Σ₁ Σ₂)^½ where both have the same axes. */
const expected = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, value, i) => sum + Math.sqrt(value * b[i]!), 0);
const spectrum = (n: number, decades: number, rank = n) =>
  Array.from({ length: n }, (_, i) => (i < rank ? 10 ** ((-decades * i) / n) : 0));

describe('the trace of the root of a product of covariances with common axes', () => {
  test.each([1, 2, 3, 4, 5, 17, 40])('of %d features', (n) => {
    const [a, b] = [spectrum(n, 3), spectrum(n, 3).reverse()];
    expect(norm(a, b) / expected(a, b)).toBeCloseTo(1, 12);
  });

  test('where they are nearly singular', () => {
    const [a, b] = [spectrum(40, 8), spectrum(40, 8).reverse()];
    expect(norm(a, b) / expected(a, b)).toBeCloseTo(1, 9);
  });

  test('of any ranks, and without the root of a rounding error', () => {
    const [a, b] = [spectrum(40, 3, 20), spectrum(40, 2, 30)];
    expect(norm(a, b) / expected(a, b)).toBeCloseTo(1, 12);
    expect(norm(b, a) / expected(a, b)).toBeCloseTo(1, 12);
  });

  test('of nothing is zero', () => {
    expect(norm([0, 0, 0], [1, 2, 3])).toBe(0);
  });
});

test('a factor has as many columns as the rank, and makes the matrix', () => {
  const [n, values] = [12, spectrum(12, 2, 5)];
  const matrix = covarianceOf(values);
  const { columns, order } = pivotedCholesky(matrix, n);
  expect(columns.length).toBe(5);
  const made = new Float64Array(n * n);
  for (const column of columns) {
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) made[order[i]! * n + order[j]!]! += column[i]! * column[j]!;
  }
  expectClose(made, matrix, { relative: 1e-14 });
});

test('eigenvalues of the second difference are 2 − 2 cos(π k / (n + 1))', () => {
  const n = 50;
  const found = tridiagonalEigenvalues(new Float64Array(n).fill(2), new Float64Array(n).fill(-1)).sort();
  const exact = Array.from({ length: n }, (_, k) => 2 - 2 * Math.cos((Math.PI * (k + 1)) / (n + 1)));
  expectClose(found, exact, { relative: 1e-14 });
});
