/** @file Several measurements of one thing. */

export interface Spread {
  readonly mean: number;
  /** Sample standard deviation, with the divisor n − 1; undefined of a single value. */
  readonly deviation?: number;
}

export function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length < 2) return { mean };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / (values.length - 1)) };
}
