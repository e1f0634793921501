import { describe, expect, it } from 'vitest';
import { erf } from './erf.ts';

// mpmath 1.3 with 30 digits, at the float64 nearest to the number written.
const KNOWN = [
  [0.0, 0.0],
  [1e-10, 1.1283791670955126e-10],
  [0.1, 0.1124629160182849],
  [0.5, 0.5204998778130465],
  [1.0, 0.8427007929497149],
  [1.5, 0.9661051464753108],
  [1.999, 0.9953015566513705],
  [2.0, 0.9953222650189527],
  [2.001, 0.9953428907185247],
  [2.5, 0.999593047982555],
  [3.0, 0.9999779095030014],
  [4.0, 0.9999999845827421],
  [6.0, 1.0],
] as const;

describe('erf', () => {
  it.each(KNOWN)('of %d', (x, expected) => {
    expect(Math.abs(erf(x) - expected)).toBeLessThanOrEqual(1e-15);
  });

  it('keeps its relative accuracy near zero', () => {
    expect(erf(1e-200) / 1e-200).toBeCloseTo(2 / Math.sqrt(Math.PI), 15);
  });

  it('is odd', () => {
    for (const [x] of KNOWN) expect(erf(-x)).toBeCloseTo(-erf(x), 16);
  });

  it('is ±1 at infinity and not a number at NaN', () => {
    expect(erf(Number.POSITIVE_INFINITY)).toBe(1);
    expect(erf(Number.NEGATIVE_INFINITY)).toBe(-1);
    expect(erf(Number.NaN)).toBeNaN();
  });
});
