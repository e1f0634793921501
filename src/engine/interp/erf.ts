/** @file The error function in float64. */

/** Where the series and the continued fraction are both short and accurate. */
const SWITCH = 2;
/** Enough for both at {@link SWITCH}, where they converge slowest. */
const TERMS = 60;

/**
 * erf(x) = 2/√π ∫₀ˣ exp(−t²) dt, with an absolute error below 1e-15.
 *
 * Near zero by the series of DLMF 7.6.2 (https://dlmf.nist.gov/7.6.E2), whose terms are all positive so that nothing
 * cancels; further out by the continued fraction of erfc, DLMF 7.9.1.
 */
export function erf(x: number): number {
  const magnitude = Math.abs(x);
  const value = magnitude < SWITCH ? series(magnitude) : 1 - complementFraction(magnitude);
  return x < 0 ? -value : value;
}

/** 2/√π exp(−x²) Σₙ 2ⁿ x²ⁿ⁺¹ / (1·3·5 … (2n+1)). */
function series(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < TERMS; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** exp(−x²)/√π · 1/(x + ½/(x + 1/(x + 3⁄2/(x + …)))), from the innermost fraction outwards. */
function complementFraction(x: number): number {
  let denominator = x;
  for (let n = TERMS; n >= 1; n--) denominator = x + n / 2 / denominator;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * denominator);
}
