/** @file Products of features, on which the metrics of pairs spend their time. */

/** A set of features in float32, as networks give them. */
export interface FeatureSet {
  /** [N, D] row by row. */
  readonly values: Float32Array;
  /** D. */
  readonly width: number;
}

/** Rows of several sets of one width, one after the other. */
export function joined(parts: readonly Float32Array[]): Float32Array {
  const values = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    values.set(part, at);
    at += part.length;
  }
  return values;
}

export const countOf = ({ values, width }: FeatureSet): number => values.length / width;

export const rowsOf = ({ values, width }: FeatureSet, start: number, end: number): FeatureSet => ({
  values: values.subarray(start * width, end * width),
  width,
});

/**
 * A [n, D] · B [m, D]ᵀ → [n, m] with the roundings of float32 in any order: each entry is within D · 2⁻²⁴ · Σ |a b| of
 * the exact one. A runtime may stand in for {@link plainProduct}.
 */
export type MatrixProduct = (a: FeatureSet, b: FeatureSet) => Promise<Float32Array>;

/** In plain TypeScript, with sums in float64. */
export const plainProduct: MatrixProduct = async (a, b) => {
  const [rows, columns] = [countOf(a), countOf(b)];
  const product = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) product[i * columns + j] = exactDot(a, i, b, j);
  }
  return product;
};

/** The product of row `i` of one set and row `j` of another, in float64. */
export function exactDot(a: FeatureSet, i: number, b: FeatureSet, j: number): number {
  const [atA, atB] = [i * a.width, j * b.width];
  let sum = 0;
  for (let k = 0; k < a.width; k++) sum += a.values[atA + k]! * b.values[atB + k]!;
  return sum;
}

/** |a − b|² in float64. */
export function exactSquaredDistance(a: FeatureSet, i: number, b: FeatureSet, j: number): number {
  const [atA, atB] = [i * a.width, j * b.width];
  let sum = 0;
  for (let k = 0; k < a.width; k++) {
    const difference = a.values[atA + k]! - b.values[atB + k]!;
    sum += difference * difference;
  }
  return sum;
}

/** |a|² of each row, in float64. */
export function squaredNorms(features: FeatureSet): Float64Array {
  return Float64Array.from({ length: countOf(features) }, (_, i) => exactDot(features, i, features, i));
}
