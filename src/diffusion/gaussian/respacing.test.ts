import { describe, expect, test } from 'vitest';
import { readJson } from '../../../test/support/diffusion-fixtures.ts';
import { respacedBetas, spacedSteps } from './respacing.ts';
import { cumulativeAlphas, noiseSchedule } from './schedule.ts';

interface RespacingFixture {
  readonly cases: Readonly<Record<string, { readonly timestep_map: readonly number[] }>>;
  readonly errors: Readonly<Record<string, string>>;
  readonly space_timesteps_300_10_15_20: readonly number[];
}

const fixture = readJson<RespacingFixture>('respacing.json');

describe('spacedSteps', () => {
  test.each(Object.entries(fixture.cases))(
    'keeps the reference steps of %s',
    (respacing, { timestep_map }) => {
      expect(spacedSteps(1000, respacing)).toEqual(timestep_map);
    },
  );

  test('divides sections of any size', () => {
    expect(spacedSteps(300, '10,15,20')).toEqual(fixture.space_timesteps_300_10_15_20);
  });

  test('keeps all where nothing is asked', () => {
    expect(spacedSteps(5, '')).toEqual([0, 1, 2, 3, 4]);
  });

  test('rounds halves to even, as Python does', () => {
    // Strides of 1.5: 0, 1.5, 3, 4.5, 6. Math.round would keep 5.
    expect(spacedSteps(7, '5')).toEqual([0, 2, 3, 4, 6]);
  });

  test.each(Object.keys(fixture.errors))('refuses %s, as the reference does', (respacing) => {
    expect(() => spacedSteps(1000, respacing)).toThrow();
  });

  test('refuses what does not fit', () => {
    expect(() => spacedSteps(1000, '1001')).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: respacing: cannot divide section of 1000 steps into 1001
        fix: ask for at most 1000 steps]
    `);
    expect(() => spacedSteps(1000, 'ddim300')).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: respacing: cannot create exactly 300 of 1000 steps with an integer stride
        fix: use ddim250 or ddim334]
    `);
    expect(() => spacedSteps(1000, 'ddim1001')).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: respacing: cannot create exactly 1001 of 1000 steps with an integer stride
        fix: use ddim1000]
    `);
    expect(() => spacedSteps(1000, '10,x')).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: respacing: "10,x" has "x" where a number of steps is needed
        fix: write "250", "10,15,20" or "ddim50"]
    `);
    expect(() => spacedSteps(1000, '0')).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: respacing: no step is kept
        fix: ask for at least 1 step]
    `);
    expect(() => spacedSteps(1000, 'ddim0')).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: respacing: cannot create exactly 0 of 1000 steps with an integer stride
        fix: use ddim1 or ddim2]
    `);
  });
});

test('respacing leaves the noise level of the kept steps as it was', () => {
  const betas = noiseSchedule('cosine', 400);
  const kept = spacedSteps(400, '7,30');
  const shorter = cumulativeAlphas(respacedBetas(betas, kept));
  const longer = cumulativeAlphas(betas);
  kept.forEach((step, i) => {
    expect(shorter[i]! / longer[step]!).toBeCloseTo(1, 10);
  });
});
