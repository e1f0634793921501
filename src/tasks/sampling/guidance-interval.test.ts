import { describe, expect, test } from 'vitest';
import { flowObjective } from '../../diffusion/flow/objective.ts';
import { gaussianObjective } from '../../diffusion/gaussian/objective.ts';
import { planSampling } from '../../diffusion/samplers.ts';
import { expectUsableInterval, type GuidanceInterval, guidedSteps } from './guidance-interval.ts';

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
    [ConfigError: ConfigError: cfg interval: at 0.2 to 0.7 guidance is asked for, but cfg scale 1 guides nothing
      fix: raise the cfg scale, or leave the interval out]
  `);
});
