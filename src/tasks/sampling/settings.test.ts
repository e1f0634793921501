import { describe, expect, test } from 'vitest';
import { flowObjective } from '../../diffusion/flow/objective.ts';
import { gaussianObjective } from '../../diffusion/gaussian/objective.ts';
import { planSampling } from '../../diffusion/samplers.ts';
import type { DenoiserConfig } from '../../networks/denoisers/denoiser.ts';
import { chooseSettings, expectUsableInterval, type GuidanceInterval, guidedSteps } from './settings.ts';

const PIXELS: DenoiserConfig = {
  inputSize: 32,
  inChannels: 3,
  numClasses: 9,
  learnSigma: false,
  classDropoutProb: 0.1,
};
const LATENTS: DenoiserConfig = { ...PIXELS, inChannels: 4, numClasses: 1000, learnSigma: true };

describe('what is chosen', () => {
  test('for Gaussian diffusion on latents: the reference', () => {
    expect(chooseSettings('gaussian', LATENTS)).toEqual({
      sampler: 'ddpm',
      steps: 250,
      cfgScale: 1.5,
      cfgChannels: 3,
      clip: false,
    });
  });

  test('for Gaussian diffusion on pixels: predicted images are clipped', () => {
    expect(chooseSettings('gaussian', PIXELS, { sampler: 'ddim' })).toMatchObject({ steps: 50, clip: true });
  });

  test('for a flow: DPM-Solver++, and no option that flows do not have', () => {
    expect(chooseSettings('flow', PIXELS)).toEqual({
      sampler: 'dpm++2m',
      steps: 16,
      shift: 3,
      cfgScale: 3,
      cfgChannels: 3,
    });
    expect(chooseSettings('flow', PIXELS, { sampler: 'heun' }).steps).toBe(12);
  });

  test('for a sampler that chooses its steps on the way: none', () => {
    expect(chooseSettings('flow', PIXELS, { sampler: 'dopri5', rtol: 1e-4 })).toEqual({
      sampler: 'dopri5',
      rtol: 1e-4,
      cfgScale: 3,
      cfgChannels: 3,
    });
  });

  test('for a sampler of both objectives: the options that it has for this one', () => {
    const sampler = 'dpm++2m-sde';
    expect(chooseSettings('flow', PIXELS, { sampler })).toMatchObject({ sampler, shift: 3 });
    expect(chooseSettings('gaussian', PIXELS, { sampler })).toEqual({
      sampler,
      steps: 16,
      cfgScale: 1.5,
      cfgChannels: 3,
      clip: true,
    });
  });

  test('grey images are guided in their one channel', () => {
    expect(chooseSettings('flow', { ...PIXELS, inChannels: 1 }).cfgChannels).toBe('all');
  });

  test('a model without null label is not guided', () => {
    expect(chooseSettings('flow', { ...PIXELS, classDropoutProb: 0 }).cfgScale).toBe(1);
  });
});

describe('guidance that a model suggests', () => {
  const suggested = { cfgScale: 2, cfgInterval: [0.1, 0.7] } as const;
  const guidanceOf = (
    requested: Parameters<typeof chooseSettings>[2],
    model: DenoiserConfig = PIXELS,
    suggestion: Parameters<typeof chooseSettings>[3] = suggested,
  ) => {
    const { cfgScale, cfgInterval } = chooseSettings('flow', model, requested, suggestion);
    return { cfgScale, cfgInterval };
  };

  test('is used with any sampler', () => {
    expect(guidanceOf({ sampler: 'euler', steps: 10 })).toEqual(suggested);
    expect(guidanceOf({}, PIXELS, { cfgInterval: [0, 0.5] })).toEqual({ cfgScale: 3, cfgInterval: [0, 0.5] });
  });

  test('gives way to what is asked for, as a whole', () => {
    expect(guidanceOf({ cfgScale: 4 })).toEqual({ cfgScale: 4, cfgInterval: undefined });
    expect(guidanceOf({ cfgScale: 1 })).toEqual({ cfgScale: 1, cfgInterval: undefined });
    expect(guidanceOf({ cfgInterval: [0, 1] })).toEqual({ cfgScale: 3, cfgInterval: [0, 1] });
  });

  test('means nothing to a model without null label', () => {
    const unguided = { ...PIXELS, classDropoutProb: 0 };
    expect(guidanceOf({}, unguided)).toEqual({ cfgScale: 1, cfgInterval: undefined });
  });
});

test('what was asked for is kept', () => {
  const asked = {
    sampler: 'ddim',
    steps: 'ddim20',
    cfgScale: 4,
    cfgChannels: 'all',
    cfgInterval: [100, 900],
    eta: 0.5,
    clip: false,
  } as const;
  expect(chooseSettings('gaussian', PIXELS, asked)).toEqual(asked);
});

test('an open choice and an undefined one are the same', () => {
  const open = {
    sampler: undefined,
    steps: undefined,
    cfgScale: undefined,
    eta: undefined,
    shift: undefined,
  };
  expect(chooseSettings('gaussian', PIXELS, open)).toEqual(chooseSettings('gaussian', PIXELS));
});

test('guidance needs a null label', () => {
  expect(() =>
    chooseSettings('flow', { ...PIXELS, classDropoutProb: 0 }, { cfgScale: 2 }),
  ).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: sampling: cfg scale 2 needs a row for the null label, but the label table has rows for its classes only (9): class dropout was 0
      fix: use cfg scale 1]
  `);
});

test('an interval of times without guidance', () => {
  const unguided = { ...PIXELS, classDropoutProb: 0 };
  expect(() => chooseSettings('flow', unguided, { cfgInterval: [0.1, 0.9] })).toThrow('cfg scale 1');
});

test('a scale that is not a number', () => {
  expect(() =>
    chooseSettings('gaussian', PIXELS, { cfgScale: Number.NaN }),
  ).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: sampling: cfgScale is NaN
      fix: use a number]
  `);
});

const flow = planSampling(flowObjective(), 'euler', { steps: 10 });
const gaussian = planSampling(gaussianObjective(), 'ddim', { steps: 4 });

describe('guided steps', () => {
  const marks = (plan: typeof flow, cfgInterval: GuidanceInterval) =>
    guidedSteps(plan, { cfgScale: 2, cfgInterval })
      .map((guided) => (guided ? '+' : '-'))
      .join('');

  test('are those that begin in the interval, its ends included, from noise to data', () => {
    expect(marks(flow, [0.1, 0.3])).toBe('-+++------');
    expect(marks(flow, [0.65, 5])).toBe('-------+++');
    // 999, 666, 333, 0
    expect(marks(gaussian, [300, 666])).toBe('-++-');
    expect(marks(gaussian, [0, 0])).toBe('---+');
  });

  test('without an interval are all, without guidance none', () => {
    expect(guidedSteps(gaussian, { cfgScale: 0 })).toEqual([true, true, true, true]);
    expect(guidedSteps(gaussian, { cfgScale: 1 })).toEqual([false, false, false, false]);
  });

  test('cannot be none where some are asked for', () => {
    expect(() =>
      guidedSteps(gaussian, { cfgScale: 2, cfgInterval: [0.1, 0.9] }),
    ).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: cfg interval: no step begins from 0.1 to 0.9: the 4 steps are at 0 to 999
        fix: take more steps, widen the interval, or use cfg scale 1]
    `);
  });
});

test.each<[GuidanceInterval, number]>([
  [[0.7, 0.2], 3],
  [[Number.NaN, 1], 3],
])('%j is no interval', (interval, scale) => {
  expect(() => expectUsableInterval(interval, scale)).toThrow(`it goes from ${interval.join(' to ')}`);
});

test('an interval the wrong way round', () => {
  expect(() => expectUsableInterval([0.7, 0.2], 3)).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: cfg interval: it goes from 0.7 to 0.2
      fix: give the smaller time first: 0.1,0.9 for a flow, 100,900 for Gaussian diffusion]
  `);
});

test('an interval of no guidance', () => {
  expect(() => expectUsableInterval([0.2, 0.7], 1)).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: cfg interval: guidance is requested from 0.2 to 0.7, but cfg scale 1 is no guidance
      fix: raise the cfg scale, or leave the interval out]
  `);
});
