import { describe, expect, test } from 'vitest';
import { exponentialDecayAt } from './exponential-average.ts';
import { powerDecayAt, powerExponent } from './power-average.ts';

describe('an exponential average', () => {
  test('without warm-up it is what is configured', () => {
    expect(exponentialDecayAt(1, { decay: 0.9999, warmup: false })).toBe(0.9999);
  });

  test('with warm-up it follows (1 + step) / (10 + step) up to that', () => {
    expect(exponentialDecayAt(1, { decay: 0.9, warmup: true })).toBe(2 / 11);
    expect(exponentialDecayAt(8, { decay: 0.9, warmup: true })).toBe(0.5);
    expect(exponentialDecayAt(80, { decay: 0.9, warmup: true })).toBe(0.9);
    expect(exponentialDecayAt(81, { decay: 0.9, warmup: true })).toBe(0.9);
  });

  test('with warm-up no initial value is left over', () => {
    let weightOfInitial = 1;
    for (let step = 1; step <= 100; step++)
      weightOfInitial *= exponentialDecayAt(step, { decay: 0.9999, warmup: true });
    expect(weightOfInitial).toBeLessThan(1e-9);
  });
});

describe('a power-function average', () => {
  // Karras et al. 2024, section 3.1: "σ_rel = 0.05 and 0.10, i.e. γ = 16.97 and 6.94".
  test.each([
    [0.05, 16.97],
    [0.1, 6.94],
  ])('of relative width %f has the published exponent', (relativeStd, gamma) => {
    expect(powerExponent(relativeStd)).toBeCloseTo(gamma, 2);
  });

  test('the widest weighs all steps alike', () => {
    expect(powerExponent(Math.sqrt(1 / 12))).toBeCloseTo(0, 12);
    expect(powerDecayAt(4, { relativeStd: Math.sqrt(1 / 12) })).toBeCloseTo(3 / 4, 12);
  });

  test('nothing of the initial values is left after one step', () => {
    expect(powerDecayAt(1, { relativeStd: 0.1 })).toBe(0);
  });

  test('its weights have the width it says, whatever the number of steps', () => {
    for (const steps of [1000, 4000]) {
      const weights = new Float64Array(steps);
      for (let step = 1; step <= steps; step++) {
        const decay = powerDecayAt(step, { relativeStd: 0.1 });
        for (let earlier = 0; earlier < step - 1; earlier++) weights[earlier]! *= decay;
        weights[step - 1] = 1 - decay;
      }
      const mean = weights.reduce((sum, weight, i) => sum + (weight * (i + 1)) / steps, 0);
      const variance = weights.reduce((sum, weight, i) => sum + weight * ((i + 1) / steps - mean) ** 2, 0);
      expect(Math.sqrt(variance)).toBeCloseTo(0.1, 3);
    }
  });
});
