import { describe, expect, test } from 'vitest';
import { expectClose } from '../../test/support/closeness.ts';
import { type HostTensor, tensorOf, toNumbers } from '../core/host-tensor.ts';
import { graphOf, leavesOf } from '../graph/graph.ts';
import { add, cast, constant, div, input, mul, reshape, square, sub, takeRows } from '../graph/operators.ts';
import type { Tensor } from '../graph/tensor.ts';
import { evaluate } from '../interp/evaluate.ts';
import type { Denoise } from './denoise.ts';
import { flowObjective } from './flow-objective.ts';
import { type GaussianOptions, gaussianDiffusion } from './gaussian.ts';
import { gaussianObjective } from './gaussian-objective.ts';
import { planSampling, SAMPLERS, type SamplerName } from './samplers.ts';
import type { SamplingOptions, SamplingPlan } from './sampling-plan.ts';

// Data that is normal with mean μ and deviation s has a denoiser in closed form, and makes every step linear:
// x′ = a x + b + c noise. Three probes read a, b and c off; mean and variance then follow exactly.

interface NormalData {
  readonly mean: number;
  readonly deviation: number;
}

const perImage = (time: Tensor): Tensor => reshape(time, [time.shape[0]!, 1, 1, 1]);

/** E[noise | x_t] = √(1 − ᾱ) (x − √ᾱ μ) / (ᾱ s² + 1 − ᾱ). */
function exactNoise({ mean, deviation }: NormalData, { tables } = gaussianDiffusion()): Denoise {
  const lookUp = (time: Tensor, coefficient: (alphaBar: number) => number): Tensor => {
    const alphaBars = tables.alphaBars.map(coefficient);
    const table = constant(tensorOf('f32', [alphaBars.length], alphaBars));
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
  const carried = ['x', ...plan.memory];
  const probes = [carried.length + 2, 1, 1, 1];
  const { x, memory } = plan.build(denoise, input('x', probes), input('noise', probes));
  const graph = graphOf({ x, ...memory });
  // Of the probes the first is nothing at all, the others have 1 in one place.
  const common = [...carried, 'noise'].map((name, i): [string, HostTensor] => [
    name,
    tensorOf('f64', probes, oneHot(probes[0]!, i + 1)),
  ]);
  let means = carried.map(() => 0);
  let covariance = carried.map((_, i) => carried.map((__, j) => Number(i === 0 && j === 0)));
  for (const feeds of plan.steps) {
    const values = evaluate(graph, new Map([...common, ...feeds]));
    const offsets = carried.map((name) => values.get(name)!.data[0]!);
    const slopes = carried.map((name, i) =>
      Array.from(values.get(name)!.data.subarray(1), (value) => value - offsets[i]!),
    );
    means = slopes.map((slope, i) => offsets[i]! + dot(slope, means));
    // The last slope is that of the noise, whose variance is 1.
    const withNoise = [...covariance.map((row) => [...row, 0]), [...carried.map(() => 0), 1]];
    covariance = slopes.map((a) =>
      slopes.map((b) =>
        dot(
          a,
          withNoise.map((row) => dot(row, b)),
        ),
      ),
    );
  }
  return { mean: means[0]!, deviation: Math.sqrt(covariance[0]![0]!) };
}

function oneHot(length: number, place: number): number[] {
  return Array.from({ length }, (_, i) => (i === place ? 1 : 0));
}

/** Of as many numbers as the second has. */
function dot(a: readonly number[], b: readonly number[]): number {
  return b.reduce((sum, value, i) => sum + value * a[i]!, 0);
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

describe('DPM-Solver++ for Gaussian diffusion', () => {
  const data = { mean: 0, deviation: 0.5 };
  // So many steps that 121 and 241 of them are evenly spaced.
  const objective = gaussianObjective({ steps: 1921, variance: 'fixed-small' });
  const { alphaBars } = objective.diffusion.tables;
  const varianceAt = (step: number): number => alphaBars[step]! * data.deviation ** 2 + 1 - alphaBars[step]!;
  const [first, last] = [varianceAt(1920), varianceAt(0)];
  const covariance = Math.sqrt(alphaBars[1920]! / alphaBars[0]!) * last;
  // The variance that the exact ODE and SDE make of unit variance, from the noisiest step to the least noisy one; and
  // the last step, which is the predicted image.
  const exactVariance = {
    'dpm++2m': last / first,
    'dpm++2m-sde': last + (covariance / first) ** 2 * (1 - first),
  };
  const lastSlope = (Math.sqrt(alphaBars[0]!) * data.deviation ** 2) / last;

  test.each(['dpm++2m', 'dpm++2m-sde'] as const)('%s is of order 2 in the variance', (name) => {
    const errorOf = (steps: number): number => {
      const plan = planSampling(objective, name, { steps });
      const { deviation } = sampledData(plan, exactNoise(data, objective.diffusion));
      return Math.abs(deviation - lastSlope * Math.sqrt(exactVariance[name]));
    };
    const [coarse, fine] = [errorOf(121), errorOf(241)];
    expect(Math.abs(Math.log2(coarse / fine) - 2)).toBeLessThan(0.12);
    expect(fine).toBeLessThan(0.006);
  });

  test('its steps of first order are those of DDIM', () => {
    // A network of any kind; the last step but one would be of second order.
    const network: Denoise = (x, time) => add(mul(x, 0.7), mul(perImage(time), 1e-3)) as Tensor<never>;
    const images = (name: SamplerName, index: number): ArrayLike<number> => {
      const plan = planSampling(gaussianObjective({ variance: 'fixed-small' }), name, { steps: 7 });
      const shape = [2, 1, 1, 2];
      const { x } = plan.build(network, input('x', shape));
      const feeds = new Map<string, HostTensor>([
        ...plan.steps[index]!,
        ['x', tensorOf('f64', shape, [1, -0.5, 2, 0])],
        ...plan.memory.map((memory): [string, HostTensor] => [memory, tensorOf('f64', shape, [9, 9, 9, 9])]),
      ]);
      return evaluate(graphOf({ x }), feeds).get('x')!.data;
    };
    for (const index of [0, 6]) {
      expectClose(images('dpm++2m', index), images('ddim', index), { relative: 1e-6 });
    }
    expect(images('dpm++2m', 3)).not.toEqual(images('ddim', 3));
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

  test.each(['dpm++2m', 'dpm++2m-sde'] as const)('%s is of order 2, up to a logarithm', (name) => {
    // Steps of equal time are long in λ at both ends, which costs a factor of the logarithm of their number.
    const errorOf = (steps: number): number => {
      const drawn = sampledData(planSampling(flowObjective(), name, { steps }), exactVelocity(data));
      expect(drawn.mean).toBeCloseTo(data.mean, 6);
      return Math.abs(drawn.deviation - data.deviation);
    };
    const [coarse, fine] = [errorOf(128), errorOf(256)];
    const logarithm = Math.log2(Math.log(256) / Math.log(128));
    expect(Math.abs(Math.log2(coarse / fine) - (2 - logarithm))).toBeLessThan(0.05);
    expect(fine).toBeLessThan(5e-4);
  });

  test('one step of DPM-Solver++ is one of Euler: the predicted data', () => {
    const denoise: Denoise = (x, time) => mul(x, add(perImage(time), 2));
    const [x, previousX0] = [tensorOf('f64', [1, 1, 1, 2], [1, -2]), tensorOf('f64', [1, 1, 1, 2], [9, 9])];
    const drawn = (['euler', 'dpm++2m'] as const).map((name) => {
      const plan = planSampling(flowObjective(), name, { steps: 1 });
      const step = plan.build(denoise, input('x', x.shape));
      const feeds = new Map([...plan.steps[0]!, ['x', x], ['previousX0', previousX0]]);
      return evaluate(graphOf({ x: step.x }), feeds).get('x')!.data;
    });
    expectClose(drawn[0]!, [3, -6], { relative: 1e-6 });
    expectClose(drawn[1]!, [3, -6], { relative: 1e-6 });
  });

  test('a shift spends more of the steps near the noise, with errors of the same order', () => {
    const plan = planSampling(flowObjective(), 'heun', { steps: 4, shift: 3 });
    const times = plan.steps.flatMap((feeds) =>
      ['time', 'nextTime'].map((name) => toNumbers(feeds.get(name)!)[0]!),
    );
    expectClose(times, [0, 0.1, 0.1, 0.25, 0.25, 0.5, 0.5, 1], { relative: 1e-7 });
    for (const [name, order] of [
      ['euler', 1],
      ['heun', 2],
    ] as const) {
      const errorOf = (steps: number): number => {
        const shifted = planSampling(flowObjective(), name, { steps, shift: 3 });
        return Math.abs(sampledData(shifted, exactVelocity(data)).deviation - data.deviation);
      };
      expect(Math.abs(Math.log2(errorOf(128) / errorOf(256)) - order)).toBeLessThan(0.25);
    }
  });

  test.each([flowObjective(), gaussianObjective({ variance: 'fixed-small' })])(
    'DPM-Solver++ as an SDE without noise is the ODE: $kind',
    (objective) => {
      const [ode, sde] = [
        planSampling(objective, 'dpm++2m', { steps: 5 }),
        planSampling(objective, 'dpm++2m-sde', { steps: 5, eta: 0 }),
      ];
      expect(sde).toEqual({ ...ode, build: expect.any(Function) });
    },
  );

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
    const summary = ({ nfe, usesNoise, memory }: SamplingPlan) => ({ nfe, usesNoise, memory });
    const [usesNoise, memory] = [false, [] as string[]];
    expect(summary(planSampling(gaussian, 'ddpm', { steps: 10 }))).toEqual({
      nfe: 10,
      usesNoise: true,
      memory,
    });
    expect(summary(planSampling(gaussian, 'ddim', { steps: 10 }))).toEqual({ nfe: 10, usesNoise, memory });
    expect(summary(planSampling(gaussian, 'ddim', { steps: 10, eta: 0.1 })).usesNoise).toBe(true);
    expect(summary(planSampling(flowObjective(), 'heun', { steps: 10 }))).toEqual({
      nfe: 20,
      usesNoise,
      memory,
    });
    for (const objective of [gaussian, flowObjective()]) {
      expect(summary(planSampling(objective, 'dpm++2m', { steps: 10 }))).toEqual({
        nfe: 10,
        usesNoise,
        memory: ['previousX0'],
      });
      expect(summary(planSampling(objective, 'dpm++2m-sde', { steps: 10 }))).toEqual({
        nfe: 10,
        usesNoise: true,
        memory: ['previousX0'],
      });
    }
  });

  const objectives = [flowObjective(), gaussianObjective({ variance: 'fixed-large' })];
  const combinations = objectives.flatMap((objective) =>
    (Object.keys(SAMPLERS) as SamplerName[])
      .filter((name) => SAMPLERS[name][objective.kind] !== undefined)
      .map((name) => ({ objective, kind: objective.kind, name })),
  );

  test.each(combinations)('$kind: $name feeds every input that its graph adds', ({ objective, name }) => {
    const plan = planSampling(objective, name, { steps: 3 });
    const shape = [2, 1, 4, 4];
    // A network that uses its time, as every network does.
    const denoise: Denoise = (x, time) => add(x, perImage(time)) as Tensor<never>;
    const { x, x0, memory = {} } = plan.build(denoise, input('x', shape), input('noise', shape));
    expect(Object.keys(memory)).toEqual(plan.memory);
    for (const image of [x, x0, ...Object.values(memory)]) expect(image.shape).toEqual(shape);
    const inputs = leavesOf(graphOf({ x, x0, ...memory }), 'input').filter(
      ({ params }) => !['x', 'noise', ...plan.memory].includes(params.name),
    );
    for (const feeds of plan.steps) {
      expect([...feeds.keys()].sort()).toEqual(inputs.map(({ params }) => params.name).sort());
      for (const leaf of inputs) expect(feeds.get(leaf.params.name)!.shape).toEqual(leaf.shape);
    }
  });

  test('refuse what does not fit', () => {
    const [gaussian, flow] = [gaussianObjective(), flowObjective()];
    expect(() => planSampling(flow, 'ddim', { steps: 10 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler ddim: it does not draw from a flow objective, which the model has
        fix: use euler, heun, dpm++2m or dpm++2m-sde]
    `);
    expect(() => planSampling(gaussian, 'heun', { steps: 10 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler heun: it does not draw from a gaussian objective, which the model has
        fix: use ddpm, ddim, dpm++2m or dpm++2m-sde]
    `);
    expect(() => planSampling(gaussian, 'ddpm', { steps: 10, eta: 1 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler ddpm: it has no option eta (given: 1)
        fix: leave eta out, or use ddim or dpm++2m-sde]
    `);
    expect(() => planSampling(gaussian, 'ddim', { steps: 10, eta: 2 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler ddim: eta is 2, outside 0 … 1
        fix: use 0 for no new noise, 1 for as much as the forward process adds]
    `);
    expect(() => planSampling(flow, 'euler', { steps: 'ddim10' })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampling a flow: steps is ddim10: a positive integer is needed
        fix: use 50]
    `);
    expect(() => planSampling(flow, 'dpm++2m', { steps: 4, clip: true })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler dpm++2m: it has no option clip (given: true)
        fix: leave clip out]
    `);
    expect(() =>
      planSampling(gaussian, 'dpm++2m', { steps: 4, shift: 3 }),
    ).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler dpm++2m: it has no option shift (given: 3)
        fix: leave shift out]
    `);
    expect(() => planSampling(flow, 'euler', { steps: 4, shift: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampling a flow: shift is 0: it must be above 0
        fix: use 1 for steps of equal time, 3 for more of them near the noise]
    `);
    const stochastic = planSampling(gaussianObjective({ variance: 'fixed-small' }), 'ddpm', { steps: 2 });
    expect(() => stochastic.build((x) => x, input('x', [1, 1, 2, 2]))).toThrowErrorMatchingInlineSnapshot(
      `[ConfigError: ConfigError: sampler ddpm: its steps need noise, none was given]`,
    );
  });
});
