import { describe, expect, test } from 'vitest';
import { randomKey } from '../core/random.ts';
import { concat, input } from '../engine/graph/operators.ts';
import type { Denoise } from './denoise.ts';
import { REFERENCE_FLOW_OPTIONS } from './flow/flow.ts';
import { flowObjective } from './flow/objective.ts';
import { REFERENCE_GAUSSIAN_OPTIONS } from './gaussian/gaussian.ts';
import { gaussianObjective } from './gaussian/objective.ts';
import type { Objective } from './objective.ts';
import { createObjective } from './objectives.ts';

const OBJECTIVES: readonly {
  readonly name: string;
  readonly objective: Objective;
  readonly range: number;
}[] = [
  { name: 'gaussian', objective: gaussianObjective(), range: 1000 },
  { name: 'gaussian, respaced', objective: gaussianObjective({ respacing: '10' }), range: 10 },
  {
    name: 'gaussian, fixed variance',
    objective: gaussianObjective({ variance: 'fixed-large' }),
    range: 1000,
  },
  { name: 'flow', objective: flowObjective(), range: 1 },
  {
    name: 'flow, logit-normal',
    objective: flowObjective({ timeDistribution: 'logit-normal' }),
    range: 1,
  },
];

describe.each(OBJECTIVES)('$name', ({ objective, range }) => {
  test('draws times inside the range, the same for the same key', () => {
    const times = objective.sampleTimes(randomKey(3), 500);
    expect(times.dtype).toBe(objective.timeType);
    expect(times.shape).toEqual([500]);
    const values = Array.from(times.data, Number);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(range);
    expect(Math.max(...values) - Math.min(...values)).toBeGreaterThan(0.8 * (range - 1));
    expect(objective.sampleTimes(randomKey(3), 500)).toEqual(times);
    expect(objective.sampleTimes(randomKey(4), 500)).not.toEqual(times);
  });

  test('evaluates at times in the middle of equal parts', () => {
    const times = objective.evaluationTimes(5);
    expect(times.dtype).toBe(objective.timeType);
    const expected = [0.1, 0.3, 0.5, 0.7, 0.9].map((share) => share * range);
    expect(Array.from(times.data, Number)).toEqual(expected.map((t) => (range === 1 ? Math.fround(t) : t)));
  });

  test('builds a loss per sample from as many channels as it says', () => {
    const x = input('x', [2, 3, 4, 4]);
    const denoise: Denoise = (noisy) =>
      concat(
        Array.from({ length: objective.outputsPerChannel }, () => noisy),
        1,
      );
    const t = input('t', [2], objective.timeType);
    const { perSample, terms } = objective.buildLoss(denoise, x, input('noise', x.shape), t);
    expect(perSample.shape).toEqual([2]);
    expect(Object.keys(terms)).toEqual(objective.outputsPerChannel === 2 ? ['mse', 'vb'] : ['mse']);
  });
});

test('plain data says which objective is meant', () => {
  const gaussian = createObjective({ kind: 'gaussian', variance: 'fixed-large' });
  const flow = createObjective({ kind: 'flow', timeScale: 1000 });
  if (gaussian.kind !== 'gaussian' || flow.kind !== 'flow') expect.fail('wrong kind');
  const { diffusion } = gaussian;
  expect(diffusion.options).toEqual({ ...REFERENCE_GAUSSIAN_OPTIONS, variance: 'fixed-large' });
  expect(flow.options).toEqual({ ...REFERENCE_FLOW_OPTIONS, timeScale: 1000 });
});
