import { describe, expect, test } from 'vitest';
import { expectClose } from '../../test/support/closeness.ts';
import {
  exactNoise,
  exactPrediction,
  type NormalData,
  sampledData,
  varianceAt,
} from '../../test/support/normal-data.ts';
import { type HostTensor, scalar, tensorOf, toNumbers } from '../core/host-tensor.ts';
import { graphOf, leavesOf } from '../engine/graph/graph.ts';
import { add, input, mul, reshape } from '../engine/graph/operators.ts';
import type { Tensor } from '../engine/graph/tensor.ts';
import { evaluate } from '../engine/interp/evaluate.ts';
import type { Denoise } from './denoise.ts';
import { samplingInterval } from './flow/flow.ts';
import { flowObjective } from './flow/objective.ts';
import { FLOW_PATHS, type FlowPathName } from './flow/path.ts';
import { DIFFUSION_FORMS, type DiffusionForm, LAST_STEPS } from './flow/sde.ts';
import { type GaussianOptions, gaussianDiffusion } from './gaussian/gaussian.ts';
import { gaussianObjective } from './gaussian/objective.ts';
import { planAnySampling, planSampling, SAMPLERS, type SamplerName } from './samplers.ts';
import type { SamplingOptions, SamplingPlan } from './sampling-plan.ts';
import { type Slope, solveAdaptively } from './solvers/ode-solver.ts';

const PATHS = Object.keys(FLOW_PATHS) as FlowPathName[];

const perImage = (time: Tensor): Tensor => reshape(time, [time.shape[0]!, 1, 1, 1]);

const exactVelocity = (data: NormalData): Denoise => exactPrediction(data, 'linear', 'velocity');

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

test.each(['dpm++2m', 'dpm++2m-sde'] as const)('one Gaussian step of %s begins at pure noise', (name) => {
  const objective = gaussianObjective({ variance: 'fixed-small' });
  const plan = planSampling(objective, name, { steps: 1 });
  expect(plan.steps.map((feeds) => feeds.get('time')!.data[0])).toEqual([999]);
  // It arrives at the image that the network predicts there: of a single image, that image.
  const drawn = sampledData(plan, exactNoise({ mean: 0.7, deviation: 0 }));
  expect(drawn.mean).toBeCloseTo(0.7, 3);
  expect(drawn.deviation).toBeCloseTo(0, 3);
});

describe('flow samplers on normal data', () => {
  // x_1 = μ + s x_0 exactly.
  const data = { mean: 0.3, deviation: 0.5 };

  test.each([
    { name: 'euler', order: 1, steps: 64 },
    { name: 'midpoint', order: 2, steps: 64 },
    { name: 'heun', order: 2, steps: 64 },
    { name: 'heun3', order: 3, steps: 64 },
    { name: 'rk4', order: 4, steps: 32 },
  ] as const)('$name is of order $order', ({ name, order, steps: few }) => {
    // On the linear path normal data is so symmetric that some methods are of a higher order.
    const objective = flowObjective({ path: 'vp' });
    const [from, to] = samplingInterval(objective.options);
    const exact = Math.sqrt(varianceAt(data, 'vp', to) / varianceAt(data, 'vp', from));
    const errorOf = (steps: number): number => {
      const plan = planSampling(objective, name, { steps });
      return Math.abs(sampledData(plan, exactPrediction(data, 'vp', 'velocity')).deviation - exact);
    };
    const [coarse, fine] = [errorOf(few), errorOf(2 * few)];
    expect(Math.abs(Math.log2(coarse / fine) - order)).toBeLessThan(0.2);
  });

  test.each(['euler', 'midpoint', 'heun', 'heun3', 'rk4'] as const)('%s follows straight lines', (name) => {
    const drawn = sampledData(planSampling(flowObjective(), name, { steps: 16 }), exactVelocity(data));
    expect(drawn.mean).toBeCloseTo(data.mean, 6);
    expect(Math.abs(drawn.deviation - data.deviation)).toBeLessThan(name === 'euler' ? 0.05 : 1e-3);
  });

  test.each(
    PATHS.flatMap((path) =>
      (['velocity', 'noise', 'score'] as const).map((prediction) => ({ path, prediction })),
    ),
  )('a $prediction on the path $path leads from its first variance to its last', ({ path, prediction }) => {
    const objective = flowObjective({ path, prediction });
    const [from, to] = samplingInterval(objective.options);
    const plan = planSampling(objective, 'rk4', { steps: 60 });
    const { deviation } = sampledData(plan, exactPrediction(data, path, prediction));
    const growth = Math.sqrt(varianceAt(data, path, to) / varianceAt(data, path, from));
    expect(Math.abs(deviation / growth - 1)).toBeLessThan(2e-3);
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

describe('SDEs on normal data', () => {
  const data = { mean: 0.3, deviation: 0.5 };
  const forms = Object.keys(DIFFUSION_FORMS) as DiffusionForm[];
  const cases = forms.flatMap((diffusionForm) => PATHS.map((path) => ({ diffusionForm, path })));

  test.each(cases)('$diffusionForm on the path $path draws their mean and variance', (sde) => {
    const errorOf = (steps: number): number => {
      const { path, diffusionForm } = sde;
      const options = { steps, diffusionForm, lastStep: 'none' } as const;
      const plan = planSampling(flowObjective({ path }), 'sde-euler', options);
      const drawn = sampledData(plan, exactPrediction(data, path, 'velocity'));
      expect(Math.abs(drawn.mean - data.mean)).toBeLessThan(0.02);
      return Math.abs(drawn.deviation - data.deviation);
    };
    const [coarse, fine] = [errorOf(100), errorOf(400)];
    expect(coarse).toBeLessThan(0.05);
    expect(fine).toBeLessThan(Math.max(coarse / 3, 6e-4));
  });

  test.each(['noise', 'score'] as const)('a %s draws them too, in every last step', (prediction) => {
    for (const lastStep of LAST_STEPS) {
      const plan = planSampling(flowObjective({ prediction }), 'sde-euler', { steps: 200, lastStep });
      const drawn = sampledData(plan, exactPrediction(data, 'linear', prediction));
      expect(Math.abs(drawn.mean - data.mean)).toBeLessThan(0.01);
      expect(Math.abs(drawn.deviation - data.deviation)).toBeLessThan(0.015);
    }
  });

  test('Heun draws them too', () => {
    const errorOf = (steps: number): number => {
      const plan = planSampling(flowObjective({ path: 'gvp' }), 'sde-heun', { steps, lastStep: 'none' });
      return Math.abs(sampledData(plan, exactPrediction(data, 'gvp', 'velocity')).deviation - data.deviation);
    };
    const [coarse, fine] = [errorOf(60), errorOf(240)];
    expect(coarse).toBeLessThan(2e-3);
    expect(fine).toBeLessThan(coarse / 3);
  });

  test('a norm of 0 is the ODE', () => {
    const denoise = exactPrediction(data, 'linear', 'velocity');
    const sde = planSampling(flowObjective(), 'sde-euler', { steps: 9, diffusionNorm: 0, lastStep: 'none' });
    const ode = planSampling(flowObjective(), 'euler', { steps: 9 });
    expect(sampledData(sde, denoise).deviation).toBeCloseTo(sampledData(ode, denoise).deviation, 7);
  });

  test('what the reference fails at gives numbers', () => {
    // sbdm is infinite at t = 0, where velocities begin; a constant is no tensor; one form is misspelt.
    for (const diffusionForm of ['sbdm', 'constant', 'increasing-decreasing'] as const) {
      for (const path of PATHS) {
        for (const name of ['sde-euler', 'sde-heun'] as const) {
          for (const lastStep of LAST_STEPS) {
            const plan = planSampling(flowObjective({ path }), name, { steps: 6, diffusionForm, lastStep });
            const drawn = sampledData(plan, exactPrediction(data, path, 'velocity'));
            expect(Number.isFinite(drawn.mean + drawn.deviation)).toBe(true);
          }
        }
      }
    }
  });

  test('refuse what makes no sense', () => {
    const plan = (options: SamplingOptions) => () => planSampling(flowObjective(), 'sde-euler', options);
    expect(plan({ steps: 1 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampling a flow: steps is 1: an integer from 2 is needed, the last step included
        fix: give a whole number of steps, such as 16]
    `);
    expect(plan({ steps: 4, diffusionNorm: -1 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampling an SDE: the diffusion norm is -1: it must be 0 or more
        fix: use 1; 0 follows the ODE]
    `);
    expect(plan({ steps: 4, lastStepSize: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampling an SDE: the size of the last step is 0: it must be above 0 and below 1
        fix: use 0.04, or last step none]
    `);
    expect(plan({ steps: 4, shift: 3 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler sde-euler: it has no option shift (given: 3)
        fix: leave shift out, or use euler, midpoint, heun, heun3, rk4, dpm++2m or dpm++2m-sde]
    `);
  });
});

describe('dopri5', () => {
  const data = { mean: 0.3, deviation: 0.5 };

  test.each(PATHS)('leads noise to the data on the path %s', async (path) => {
    const objective = flowObjective({ path });
    const plan = planAnySampling(objective, 'dopri5', { rtol: 1e-5 });
    if ('steps' in plan) expect.fail('its steps are known');
    expect(plan.tolerances).toEqual({ atol: 1e-6, rtol: 1e-5 });
    const shape = [2, 1, 1, 1];
    const graph = graphOf({ ...plan.build(exactPrediction(data, path, 'velocity'), input('x', shape)) });
    const slope: Slope = async ([x], time) => {
      const feeds = new Map([
        ['x', tensorOf('f64', shape, x!)],
        ['time', scalar('f64', time)],
      ]);
      return [Float32Array.from(evaluate(graph, feeds).get('slope')!.data)];
    };
    const [start, end] = await solveAdaptively(
      slope,
      [Float32Array.of(1, 0)],
      plan.interval,
      plan.tolerances,
    );
    const growth = Math.sqrt(
      varianceAt(data, path, plan.interval[1]) / varianceAt(data, path, plan.interval[0]),
    );
    expect(start![0]).toEqual(Float32Array.of(1, 0));
    expect(end![0]![0]! - end![0]![1]!).toBeCloseTo(growth, 3);
  });

  test('refuses steps, tolerances that are none, and to be planned step by step', () => {
    const plan = (options: SamplingOptions) => () => planAnySampling(flowObjective(), 'dopri5', options);
    expect(plan({ steps: 3 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler dopri5: its steps are adaptive, so their number cannot be given (given: steps 3)
        fix: leave the steps out; smaller tolerances give more steps]
    `);
    expect(plan({ rtol: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler dopri5: rtol is 0: it must be above 0
        fix: use 0.001]
    `);
    expect(plan({ shift: 2 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler dopri5: it has no option shift (given: 2)
        fix: leave shift out, or use euler, midpoint, heun, heun3, rk4, dpm++2m or dpm++2m-sde]
    `);
    expect(() => planSampling(flowObjective(), 'dopri5', {})).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler dopri5: its steps are adaptive, but here they must be known beforehand
        fix: use euler, midpoint, heun, heun3, rk4, sde-euler, sde-heun, dpm++2m or dpm++2m-sde]
    `);
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
      .filter((name) => 'plan' in (SAMPLERS[name][objective.kind] ?? {}))
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
      [ConfigError: ConfigError: sampler ddim: the model has a flow objective, which this sampler does not support
        fix: use euler, midpoint, heun, heun3, rk4, dopri5, sde-euler, sde-heun, dpm++2m or dpm++2m-sde]
    `);
    expect(() => planSampling(gaussian, 'heun', { steps: 10 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler heun: the model has a gaussian objective, which this sampler does not support
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
    expect(() => planSampling(gaussian, 'ddim', {})).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampling Gaussian diffusion: no number of steps is given
        fix: use 250]
    `);
    for (const steps of [1, '1', 'ddim1']) {
      expect(() => planSampling(gaussian, 'ddim', { steps })).toThrow(/step 0 of 1000 alone/);
    }
    expect(() => planSampling(gaussian, 'ddpm', { steps: 1 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampler ddpm: "1" keeps step 0 of 1000 alone, which sees images with hardly any noise
        fix: use 2 steps or more, or 1 step of dpm++2m, which begins at pure noise]
    `);
    expect(() => planSampling(flow, 'euler', { steps: 'ddim10' })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sampling a flow: steps is ddim10: a positive integer is needed
        fix: give a whole number of steps, such as 16]
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
