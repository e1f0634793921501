/** @file Drawing that begins with an image under noise, part of the way. */
import { expect, test } from 'vitest';
import { exactNoise, exactPrediction, sampledData } from '../../test/support/normal-data.ts';
import { toNumbers } from '../core/host-tensor.ts';
import { flowObjective } from './flow/objective.ts';
import { gaussianObjective } from './gaussian/objective.ts';
import { noiseLevelAt } from './noise-level.ts';
import { planAnySampling, planSampling, SAMPLERS, type SamplerName } from './samplers.ts';
import type { SamplingPlan } from './sampling-plan.ts';

// The image c under noise, x = α c + σ noise, of which the ODE makes μ + (s / √V) (x − α μ) with V = α² s² + σ².
const data = { mean: 0.3, deviation: 0.5 };
const image = -0.8;
const timesOf = ({ steps }: SamplingPlan): number[] =>
  steps.map((feeds) => toNumbers(feeds.get('time')!)[0]!);

test.each([
  { kind: 'flow', name: 'heun', steps: 64 },
  { kind: 'flow', name: 'dpm++2m', steps: 256 },
  { kind: 'gaussian', name: 'ddim', steps: 1000 },
  { kind: 'gaussian', name: 'dpm++2m', steps: 400 },
] as const)('$kind: $name leads it to the data from any strength', ({ kind, name, steps }) => {
  const objective = kind === 'flow' ? flowObjective() : gaussianObjective({ variance: 'fixed-small' });
  const denoise = kind === 'flow' ? exactPrediction(data, 'linear', 'velocity') : exactNoise(data);
  for (const strength of [0.3, 0.6, 1]) {
    const plan = planSampling(objective, name, { steps, strength });
    const { alpha, sigma } = noiseLevelAt(objective, timesOf(plan)[0]!);
    const drawn = sampledData(plan, denoise, { mean: alpha * image, deviation: sigma });
    const shrinkage = data.deviation / Math.hypot(alpha * data.deviation, sigma);
    const expected = data.mean + shrinkage * alpha * (image - data.mean);
    expect(Math.abs(drawn.mean - expected), `mean at ${strength}`).toBeLessThan(4e-3);
    expect(Math.abs(drawn.deviation - shrinkage * sigma), `deviation at ${strength}`).toBeLessThan(4e-3);
  }
});

const plannable = (['gaussian', 'flow'] as const).flatMap((kind) =>
  (Object.keys(SAMPLERS) as SamplerName[])
    .filter((name) => 'plan' in (SAMPLERS[name][kind] ?? {}))
    .map((name) => ({ kind, name })),
);
test.each(plannable)(
  '$kind: $name takes the last of the same steps, and remembers nothing at first',
  (which) => {
    const objective = which.kind === 'flow' ? flowObjective() : gaussianObjective();
    const plan = (strength?: number) =>
      planSampling(objective, which.name, { steps: 10, ...(strength && { strength }) });
    const [whole, part] = [plan(), plan(0.7)];
    expect(plan(1)).toEqual({ ...whole, build: expect.any(Function) });
    const share = (time: number) => (which.kind === 'flow' ? 1 - time : time / 999);
    const kept = whole.steps.filter((_, i) => share(timesOf(whole)[i]!) <= 0.7 + 1e-7);
    expect(kept.length).toBeGreaterThan(2);
    expect(part.steps.slice(1)).toEqual(kept.slice(1));
    expect(part.nfe / whole.nfe).toBeCloseTo(kept.length / whole.steps.length, 12);
    if (part.memory.length === 0) expect(part.steps[0]).toEqual(kept[0]);
    else {
      // The last but one is the weight of what is remembered: none, as at the first step of all.
      const memoryWeight = (feeds: SamplingPlan['steps'][number]): number =>
        Math.abs(Array.from(toNumbers(feeds.get('coefficients')!)).at(-2)!);
      expect([memoryWeight(part.steps[0]!), memoryWeight(whole.steps[0]!)]).toEqual([0, 0]);
      expect(memoryWeight(kept[0]!)).toBeGreaterThan(0);
    }
  },
);

test('dopri5 begins at the time of the strength', () => {
  const plan = planAnySampling(flowObjective(), 'dopri5', { strength: 0.25 });
  expect('steps' in plan ? undefined : plan.interval).toEqual([0.75, 1]);
});

test('refuses a strength that is none, or at which no step begins', () => {
  const [gaussian, flow] = [gaussianObjective(), flowObjective()];
  for (const strength of [0, 1.1, Number.NaN]) {
    expect(() => planSampling(flow, 'euler', { steps: 4, strength })).toThrow(
      `it is ${strength}: it must be above 0`,
    );
    expect(() => planSampling(gaussian, 'ddim', { steps: 4, strength })).toThrow('it must be above 0');
  }
  expect(() => planSampling(flow, 'euler', { steps: 4, strength: 0.2 })).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: strength: no step begins at 0.2 of the way to noise: the last of 4 begins at 0.25
      fix: raise the strength, or take more steps]
  `);
  expect(() =>
    planSampling(gaussian, 'ddim', { steps: 3, strength: 0.2 }),
  ).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: strength: no step begins at 0.2 of the way to noise: the last of 3 begins at 0.501
      fix: raise the strength, or take more steps]
  `);
  expect(() =>
    planSampling(gaussian, 'dpm++2m', { steps: 1, strength: 0.9 }),
  ).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: strength: no step begins at 0.9 of the way to noise: the last of 1 begins at 1
      fix: raise the strength, or take more steps]
  `);
});
