import { describe, expect, test } from 'vitest';
import { readJson } from '../../../test/support/diffusion-fixtures.ts';
import { respacedBetas, spacedSteps } from './respacing.ts';
import { cumulativeAlphas, noiseSchedule } from './schedule.ts';
import { type GaussianTables, gaussianTables } from './tables.ts';

/** Names of the tables in the reference. */
const REFERENCE_NAMES = {
  betas: 'betas',
  alphaBars: 'alphas_cumprod',
  previousAlphaBars: 'alphas_cumprod_prev',
  nextAlphaBars: 'alphas_cumprod_next',
  sqrtAlphaBars: 'sqrt_alphas_cumprod',
  sqrtOneMinusAlphaBars: 'sqrt_one_minus_alphas_cumprod',
  logOneMinusAlphaBars: 'log_one_minus_alphas_cumprod',
  sqrtReciprocalAlphaBars: 'sqrt_recip_alphas_cumprod',
  sqrtReciprocalMinusOneAlphaBars: 'sqrt_recipm1_alphas_cumprod',
  posteriorVariances: 'posterior_variance',
  posteriorLogVariances: 'posterior_log_variance_clipped',
  posteriorX0Weights: 'posterior_mean_coef1',
  posteriorXtWeights: 'posterior_mean_coef2',
} as const satisfies Record<keyof GaussianTables, string>;

type ReferenceTables = Readonly<Record<string, readonly number[]>>;

function largestRelativeError(actual: ArrayLike<number>, expected: readonly number[]): number {
  expect(actual.length).toBe(expected.length);
  const errors = expected.map((value, i) =>
    value === 0 ? Math.abs(actual[i]!) : Math.abs(actual[i]! - value) / Math.abs(value),
  );
  return Math.max(...errors);
}

/** Float64 tables of 1000 steps after the reference's respacing, which recomputes β even where it keeps all steps. */
function referenceTables(schedule: 'linear' | 'cosine', respacing: string): GaussianTables {
  return gaussianTables(respacedBetas(noiseSchedule(schedule, 1000), spacedSteps(1000, respacing)));
}

describe('tables against the reference', () => {
  const linear = readJson<ReferenceTables>('schedule_linear1000.json');

  test.each(Object.entries(REFERENCE_NAMES))('linear: %s', (name, reference) => {
    const tolerance = name === 'logOneMinusAlphaBars' ? 1e-12 : 1e-13;
    const actual = referenceTables('linear', '')[name as keyof GaussianTables];
    expect(largestRelativeError(actual, linear[reference]!)).toBeLessThanOrEqual(tolerance);
  });

  test('cosine', () => {
    const reference = readJson<ReferenceTables>('schedule_cosine1000.json');
    const { betas, alphaBars } = referenceTables('cosine', '');
    // β comes from 1 − ᾱ′/ᾱ with the ratio near 1, where the last place of a cosine shows.
    expect(largestRelativeError(betas, reference.betas!)).toBeLessThanOrEqual(1e-12);
    expect(largestRelativeError(alphaBars, reference.alphas_cumprod!)).toBeLessThanOrEqual(1e-13);
  });

  const { cases } = readJson<{ cases: Readonly<Record<string, ReferenceTables>> }>('respacing.json');
  test.each(Object.entries(cases))('respaced to %s', (respacing, reference) => {
    const tables = referenceTables('linear', respacing);
    for (const [name, referenceName] of Object.entries(REFERENCE_NAMES)) {
      const expected = reference[referenceName];
      if (expected === undefined) continue;
      const error = largestRelativeError(tables[name as keyof GaussianTables], expected);
      expect(error, name).toBeLessThanOrEqual(1e-12);
    }
  });
});

describe('noiseSchedule', () => {
  test('destroys the signal whatever the number of steps', () => {
    for (const steps of [100, 1000, 4000]) {
      const alphaBar = cumulativeAlphas(noiseSchedule('linear', steps)).at(-1)!;
      expect(alphaBar).toBeGreaterThan(0);
      expect(alphaBar).toBeLessThan(1e-4);
    }
  });

  test('caps the cosine at 0.999', () => {
    expect(noiseSchedule('cosine', 100).at(-1)).toBe(0.999);
  });

  test('refuses a number of steps that is none', () => {
    expect(() => noiseSchedule('linear', 0.5)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: noiseSchedule: 0.5 diffusion steps: a positive integer is needed
        fix: the reference trains with 1000 steps]
    `);
  });
});

test('a process of one step has finite tables', () => {
  for (const values of Object.values(referenceTables('linear', '1'))) {
    expect(values).toHaveLength(1);
    expect(values.every(Number.isFinite)).toBe(true);
  }
});
