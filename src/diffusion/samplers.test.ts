import { describe, expect, test } from 'vitest';
import { type HostTensor, tensorOf, toNumbers } from '../core/host-tensor.ts';
import { graphOf, leavesOf } from '../graph/graph.ts';
import { add, cast, constant, div, input, mul, reshape, square, sub, takeRows } from '../graph/operators.ts';
import type { Tensor } from '../graph/tensor.ts';
import { evaluate } from '../interp/evaluate.ts';
import type { Denoise } from './denoise.ts';
import { flowObjective } from './flow-objective.ts';
import { type GaussianOptions, gaussianDiffusion } from './gaussian.ts';
import { gaussianObjective } from './gaussian-objective.ts';
import {
  planSampling,
  SAMPLERS,
  type SamplerName,
  type SamplingOptions,
  type SamplingPlan,
} from './samplers.ts';

// Data that is normal with mean μ and deviation s has a denoiser in closed form, and makes every step linear:
// x′ = a x + b + c noise. Three probes read a, b and c off; mean and variance then follow exactly.

interface NormalData {
  readonly mean: number;
  readonly deviation: number;
}

const perImage = (time: Tensor): Tensor => reshape(time, [time.shape[0]!, 1, 1, 1]);

/** E[noise | x_t] = √(1 − ᾱ) (x − √ᾱ μ) / (ᾱ s² + 1 − ᾱ). */
function exactNoise({ mean, deviation }: NormalData): Denoise {
  const { alphaBars } = gaussianDiffusion().tables;
  const lookUp = (time: Tensor, coefficient: (alphaBar: number) => number): Tensor => {
    const table = constant(tensorOf('f32', [1000], alphaBars.map(coefficient)));
    return perImage(takeRows(table, cast(time, 'i64')));
  };
  return (x, time) => {
    const centred = sub(
      x,
      lookUp(time, (alphaBar) => Math.sqrt(alphaBar) * mean),
    );
    const weight = lookUp(
      time,
      (alphaBar) => Math.sqrt(1 - alphaBar) / (alphaBar * deviation ** 2 + 1 - alphaBar),
    );
    return mul(weight, centred);
  };
}

/** E[data − noise | x_t] = μ + (t s² − (1 − t)) (x − t μ) / (t² s² + (1 − t)²). */
function exactVelocity({ mean, deviation }: NormalData): Denoise {
  return (x, time) => {
    const t = perImage(time);
    const remaining = sub(1, t);
    const covariance = sub(mul(t, deviation ** 2), remaining);
    const variance = add(mul(square(t), deviation ** 2), square(remaining));
    return add(mul(div(covariance, variance), sub(x, mul(t, mean))), mean);
  };
}

/** Mean and deviation of the samples that a plan draws, starting from standard normal noise. */
function sampledData(plan: SamplingPlan, denoise: Denoise): NormalData {
  const probes = [3, 1, 1, 1];
  const { x } = plan.build(denoise, input('x', probes), input('noise', probes));
  const graph = graphOf({ x });
  const common: [string, HostTensor][] = [
    ['x', tensorOf('f64', probes, [0, 1, 0])],
    ['noise', tensorOf('f64', probes, [0, 0, 1])],
  ];
  let [mean, variance] = [0, 1];
  for (const feeds of plan.steps) {
    const [offset, ofX, ofNoise] = evaluate(graph, new Map([...common, ...feeds])).get('x')!.data;
    mean = (ofX! - offset!) * mean + offset!;
    variance = (ofX! - offset!) ** 2 * variance + (ofNoise! - offset!) ** 2;
  }
  return { mean, deviation: Math.sqrt(variance) };
}

function sampleGaussian(
  name: SamplerName,
  data: NormalData,
  sampling: SamplingOptions,
  variance: GaussianOptions['variance'] = 'fixed-small',
): NormalData {
  const plan = planSampling(gaussianObjective({ variance }), name, sampling);
  return sampledData(plan, exactNoise(data));
}

describe('Gaussian samplers on normal data', () => {
  // The variances of both forms are exact at opposite ends (Ho et al. 2020, section 3.2).
  test.each([10, 250])('DDPM with the forward variance keeps unit variance in %i steps', (steps) => {
    const drawn = sampleGaussian('ddpm', { mean: 0, deviation: 1 }, { steps }, 'fixed-large');
    expect(drawn.mean).toBeCloseTo(0, 6);
    // The last step draws nothing: β of the first step, 1e-4, is missing.
    expect(drawn.deviation).toBeCloseTo(Math.sqrt(1 - 1e-4), 5);
  });

  test.each(['ddpm', 'ddim'] as const)('%s finds a single image in 10 steps', (name) => {
    const drawn = sampleGaussian(name, { mean: 0.7, deviation: 0 }, { steps: 10 });
    expect(drawn.mean).toBeCloseTo(0.7, 4);
    expect(drawn.deviation).toBeCloseTo(0, 4);
  });

  test('DDIM turns unit variance by the angles between its steps', () => {
    // x′ = (√(ᾱ′ ᾱ) + √((1 − ᾱ′)(1 − ᾱ))) x = cos(θ − θ′) x with cos θ = √ᾱ.
    const { alphaBars } = gaussianDiffusion({ respacing: '20' }).tables;
    const angles = [0, ...Array.from(alphaBars, (alphaBar) => Math.acos(Math.sqrt(alphaBar)))];
    const expected = angles.slice(1).reduce((product, angle, i) => product * Math.cos(angle - angles[i]!), 1);
    const drawn = sampleGaussian('ddim', { mean: 0, deviation: 1 }, { steps: 20 });
    expect(drawn.deviation).toBeCloseTo(expected, 4);
  });

  test('DDIM with eta 1 is DDPM with the posterior variance', () => {
    const data = { mean: 0.3, deviation: 0.5 };
    const ddim = sampleGaussian('ddim', data, { steps: 50, eta: 1 });
    const ddpm = sampleGaussian('ddpm', data, { steps: 50 });
    expect(ddim.mean).toBeCloseTo(ddpm.mean, 4);
    expect(ddim.deviation).toBeCloseTo(ddpm.deviation, 4);
  });

  test.each([
    { name: 'ddpm', options: {} },
    { name: 'ddim', options: {} },
    { name: 'ddim', options: { eta: 0.5 } },
  ] as const)('$name $options approaches the data with its steps', ({ name, options }) => {
    const data = { mean: 0.3, deviation: 0.5 };
    const errors = [25, 100, 400].map((steps) => {
      const drawn = sampleGaussian(name, data, { steps, ...options });
      expect(Math.abs(drawn.mean - data.mean)).toBeLessThan(0.02);
      return Math.abs(drawn.deviation - data.deviation);
    });
    expect(errors[1]).toBeLessThan(errors[0]! / 2);
    expect(errors[2]).toBeLessThan(errors[1]! / 2);
    expect(errors[2]).toBeLessThan(0.01);
  });
});

describe('flow samplers on normal data', () => {
  // x_1 = μ + s x_0 exactly.
  const data = { mean: 0.3, deviation: 0.5 };

  test.each([
    { name: 'euler', order: 1 },
    { name: 'heun', order: 2 },
  ] as const)('$name is of order $order', ({ name, order }) => {
    const errorOf = (steps: number): number => {
      const drawn = sampledData(planSampling(flowObjective(), name, { steps }), exactVelocity(data));
      // The mean moves in a straight line, which every method follows.
      expect(drawn.mean).toBeCloseTo(data.mean, 6);
      return Math.abs(drawn.deviation - data.deviation);
    };
    const [coarse, fine] = [errorOf(32), errorOf(64)];
    expect(Math.abs(Math.log2(coarse / fine) - order)).toBeLessThan(0.1);
    expect(fine).toBeLessThan(order === 1 ? 0.02 : 2e-4);
  });

  test('the network is told the scaled time', () => {
    let told: Tensor | undefined;
    const denoise: Denoise = (x, time) => {
      told ??= time;
      return x;
    };
    const plan = planSampling(flowObjective({ timeScale: 1000 }), 'euler', { steps: 4 });
    plan.build(denoise, input('x', [2, 1, 1, 1]));
    const values = evaluate(graphOf({ told: told! }), plan.steps[1]!);
    expect(Array.from(values.get('told')!.data)).toEqual([250, 250]);
  });
});

describe('plans', () => {
  const timesOf = (plan: SamplingPlan): number[] =>
    plan.steps.map((feeds) => toNumbers(feeds.get('time')!)[0]!);

  test('walk from noise to data', () => {
    const gaussian = gaussianObjective();
    expect(timesOf(planSampling(gaussian, 'ddpm', { steps: 4 }))).toEqual([999, 666, 333, 0]);
    expect(timesOf(planSampling(gaussian, 'ddim', { steps: 'ddim4' }))).toEqual([750, 500, 250, 0]);
    expect(timesOf(planSampling(flowObjective(), 'euler', { steps: 4 }))).toEqual([0, 0.25, 0.5, 0.75]);
  });

  test('say what they cost and need', () => {
    const gaussian = gaussianObjective();
    const summary = ({ nfe, usesNoise }: SamplingPlan) => ({ nfe, usesNoise });
    expect(summary(planSampling(gaussian, 'ddpm', { steps: 10 }))).toEqual({ nfe: 10, usesNoise: true });
    expect(summary(planSampling(gaussian, 'ddim', { steps: 10 }))).toEqual({ nfe: 10, usesNoise: false });
    expect(summary(planSampling(gaussian, 'ddim', { steps: 10, eta: 0.1 })).usesNoise).toBe(true);
    expect(summary(planSampling(flowObjective(), 'heun', { steps: 10 }))).toEqual({
      nfe: 20,
      usesNoise: false,
    });
  });

  test.each(Object.keys(SAMPLERS) as SamplerName[])('%s feeds every input that its graph adds', (name) => {
    const objective =
      SAMPLERS[name].objective === 'flow' ? flowObjective() : gaussianObjective({ variance: 'fixed-large' });
    const plan = planSampling(objective, name, { steps: 3 });
    const shape = [2, 1, 4, 4];
    // A network that uses its time, as every network does.
    const denoise: Denoise = (x, time) => add(x, perImage(time)) as Tensor<never>;
    const { x, x0 } = plan.build(denoise, input('x', shape), input('noise', shape));
    expect([x.shape, x0.shape]).toEqual([shape, shape]);
    const inputs = leavesOf(graphOf({ x, x0 }), 'input').filter(
      ({ params }) => params.name !== 'x' && params.name !== 'noise',
    );
    for (const feeds of plan.steps) {
      expect([...feeds.keys()].sort()).toEqual(inputs.map(({ params }) => params.name).sort());
      for (const leaf of inputs) expect(feeds.get(leaf.params.name)!.shape).toEqual(leaf.shape);
    }
  });

  test('refuse what does not fit', () => {
    const [gaussian, flow] = [gaussianObjective(), flowObjective()];
    expect(() => planSampling(flow, 'ddim', { steps: 10 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler ddim: it draws from a gaussian objective, the model has a flow one
        fix: use euler or heun]
    `);
    expect(() => planSampling(gaussian, 'heun', { steps: 10 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler heun: it draws from a flow objective, the model has a gaussian one
        fix: use ddpm or ddim]
    `);
    expect(() => planSampling(gaussian, 'ddpm', { steps: 10, eta: 1 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler ddpm: it has no option eta (given: 1)
        fix: leave eta out, or use ddim]
    `);
    expect(() => planSampling(gaussian, 'ddim', { steps: 10, eta: 2 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler ddim: eta is 2, outside 0 … 1
        fix: use 0 for no new noise, 1 for as much as ddpm]
    `);
    expect(() => planSampling(flow, 'euler', { steps: 'ddim10' })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampling a flow: steps is ddim10: a positive integer is needed
        fix: use 50]
    `);
    const stochastic = planSampling(gaussianObjective({ variance: 'fixed-small' }), 'ddpm', { steps: 2 });
    expect(() => stochastic.build((x) => x, input('x', [1, 1, 2, 2]))).toThrowErrorMatchingInlineSnapshot(
      `[ConfigError: ConfigError: sampler ddpm: its steps need noise, none was given]`,
    );
  });
});
