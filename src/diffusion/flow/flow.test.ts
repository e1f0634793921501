import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { ENGINES } from '../../../test/support/diffusion-fixtures.ts';
import { scalar, tensorOf } from '../../core/host-tensor.ts';
import { normal, randomKey } from '../../core/random.ts';
import { add, input, mul, reshape, sub } from '../../engine/graph/operators.ts';
import type { Tensor } from '../../engine/graph/tensor.ts';
import type { Denoise, Images } from '../denoise.ts';
import { FIXED_METHODS, rungeKuttaStep } from '../solvers/runge-kutta.ts';
import { flowLoss, flowOptions, sampleFlowTimes, samplingInterval, trainingInterval } from './flow.ts';
import {
  FLOW_PATHS,
  type FlowPathName,
  interpolate,
  levelAt,
  noisingRate,
  noisingRateAt,
  pathAt,
  pathVelocity,
} from './path.ts';
import {
  type FlowPrediction,
  type FlowPredictionName,
  predictData,
  predictNoise,
  predictScore,
  predictVelocity,
} from './prediction.ts';

const PATHS = Object.keys(FLOW_PATHS) as FlowPathName[];
const PREDICTIONS = ['velocity', 'noise', 'score'] as const;

// Two images of 1×1×3
const SHAPE = [2, 1, 1, 3] as const;
const data = normal(randomKey(1), 6);
const noise = normal(randomKey(2), 6);
const TIMES = [0.25, 0.875];
const feeds = new Map([
  ['data', tensorOf('f32', SHAPE, data)],
  ['noise', tensorOf('f32', SHAPE, noise)],
  ['t', tensorOf('f32', [2], TIMES)],
]);
const leaves = () => ({ data: input('data', SHAPE), noise: input('noise', SHAPE), t: input('t', [2]) });

describe.each(ENGINES)('on $name', ({ run }) => {
  test('the linear path is noise at 0, data at 1, and its velocity their difference', async () => {
    const [path, leaf] = [FLOW_PATHS.linear, leaves()];
    const perImage = reshape(leaf.t, [2, 1, 1, 1]);
    const x = interpolate(path, leaf.data, leaf.noise, perImage);
    const velocity = pathVelocity(path, leaf.data, leaf.noise, perImage);
    const found = predictData({ name: 'velocity', output: velocity, x, point: pathAt(path, perImage) });
    const values = await run({ x, velocity, found }, feeds);
    const timeOf = (i: number): number => TIMES[Math.floor(i / 3)]!;
    const expected = Array.from(data, (d, i) => timeOf(i) * d + (1 - timeOf(i)) * noise[i]!);
    expectClose(values.get('x')!, expected, { relative: 1e-6 });
    expectClose(
      values.get('velocity')!,
      Array.from(data, (d, i) => d - noise[i]!),
      { relative: 1e-6 },
    );
    expectClose(values.get('found')!, data, { relative: 1e-6 });
  });

  test.each(PATHS)('what the %s path is on the host it is in the graph', async (name) => {
    const [path, { t }] = [FLOW_PATHS[name], leaves()];
    const point = pathAt(path, t);
    const asTensor = (value: Tensor | number): Tensor =>
      typeof value === 'number' ? add(mul(t, 0), value) : value;
    const outputs = Object.entries({ ...point, rate: noisingRate(point) });
    const values = await run(
      Object.fromEntries(outputs.map(([quantity, value]) => [quantity, asTensor(value)])),
      feeds,
    );
    const levels = TIMES.map((time) => levelAt(path, time));
    const rates = levels.map(noisingRateAt);
    for (const [quantity] of outputs) {
      const expected =
        quantity === 'rate' ? rates : levels.map((level) => Number(level[quantity as keyof typeof level]));
      expectClose(values.get(quantity)!, expected, { relative: 2e-6 });
    }
  });

  test.each(PATHS.flatMap((path) => PREDICTIONS.map((prediction) => ({ path, prediction }))))(
    '$path: velocity, noise, score and data that follow from the $prediction agree',
    async ({ path, prediction }) => {
      const leaf = leaves();
      const point = pathAt(FLOW_PATHS[path], reshape(leaf.t, [2, 1, 1, 1]));
      const [x, output] = [leaf.data, leaf.noise];
      const given: FlowPrediction = { name: prediction, output, x, point };
      const all = (of: FlowPrediction) => ({
        velocity: predictVelocity(of),
        noise: predictNoise(of),
        score: predictScore(of),
        data: predictData(of),
      });
      const derived = all(given);
      // Not by the names of inputs.
      const outputs = Object.fromEntries(
        Object.entries(derived).map(([quantity, value]) => [`its ${quantity}`, value]),
      );
      const mixed = add(mul(point.alpha, derived.data), mul(point.sigma, derived.noise));
      const moved = add(mul(derived.data, point.alphaRate), mul(derived.noise, point.sigmaRate));
      const again = PREDICTIONS.flatMap((name) =>
        Object.entries(all({ ...given, name, output: derived[name] })).map(
          ([quantity, value]) => [`${name} → ${quantity}`, value] as const,
        ),
      );
      const values = await run({ ...outputs, mixed, moved, ...Object.fromEntries(again) }, feeds);
      expectClose(values.get(`its ${prediction}`)!, noise, { relative: 1e-6 });
      expectClose(values.get('mixed')!, data, { relative: 2e-5 });
      expectClose(values.get('moved')!, values.get('its velocity')!, { relative: 2e-5 });
      for (const [name] of again) {
        expectClose(values.get(name)!, values.get(`its ${name.split(' → ')[1]}`)!, { relative: 2e-5 });
      }
    },
  );

  test.each(PATHS)(
    '%s: the weight "velocity" makes the error of a noise that of its velocity',
    async (path) => {
      const leaf = leaves();
      const perImage = reshape(leaf.t, [2, 1, 1, 1]);
      const point = pathAt(FLOW_PATHS[path], perImage);
      const x = interpolate(FLOW_PATHS[path], leaf.data, leaf.noise, perImage);
      const output = mul(x, 0.7);
      const { perSample } = flowLoss(
        flowOptions({ path, prediction: 'noise', lossWeight: 'velocity' }),
        () => output,
        leaf.data,
        leaf.noise,
        leaf.t,
      );
      const velocity = predictVelocity({ name: 'noise', output, x, point });
      const error = sub(velocity, pathVelocity(FLOW_PATHS[path], leaf.data, leaf.noise, perImage));
      const values = await run({ perSample, error }, feeds);
      const meanSquare = (n: number): number =>
        [0, 1, 2].reduce((sum, i) => sum + values.get('error')![3 * n + i]! ** 2, 0) / 3;
      expectClose(values.get('perSample')!, [meanSquare(0), meanSquare(1)], { relative: 1e-5 });
    },
  );

  test('the error of a score is that of the noise it stands for, by any weight', async () => {
    const leaf = leaves();
    const losses = (['none', 'velocity', 'likelihood'] as const).map((lossWeight) => {
      const options = { path: 'gvp', lossWeight } as const;
      const point = pathAt(FLOW_PATHS.gvp, reshape(leaf.t, [2, 1, 1, 1]));
      const lossOf = (prediction: FlowPredictionName, denoise: Denoise) =>
        flowLoss(flowOptions({ ...options, prediction }), denoise, leaf.data, leaf.noise, leaf.t).perSample;
      const noise: Denoise = (x) => mul(x, 0.7);
      const score: Denoise = (x) => predictScore({ name: 'noise', output: mul(x, 0.7), x, point });
      return [
        `${lossWeight}: noise`,
        lossOf('noise', noise),
        `${lossWeight}: score`,
        lossOf('score', score),
      ] as const;
    });
    const outputs = Object.fromEntries(
      losses.flatMap(([a, noise, b, score]) => [
        [a, noise],
        [b, score],
      ]),
    );
    const values = await run(outputs, feeds);
    for (const [a, , b] of losses) expectClose(values.get(b)!, values.get(a)!, { relative: 1e-5 });
    const likelihood = TIMES.map(
      (t) => noisingRateAt(levelAt(FLOW_PATHS.gvp, t)) / levelAt(FLOW_PATHS.gvp, t).sigma ** 2,
    );
    const plain = values.get('none: noise')!;
    expectClose(
      values.get('likelihood: noise')!,
      likelihood.map((weight, n) => weight * plain[n]!),
      { relative: 1e-5 },
    );
  });

  test('the loss is the mean squared error of the velocity', async () => {
    const leaf = leaves();
    let told: unknown;
    const denoise: Denoise = (x, time) => {
      told = time;
      return mul(x, 2);
    };
    const { perSample, terms } = flowLoss(
      flowOptions({ timeScale: 1000 }),
      denoise,
      leaf.data,
      leaf.noise,
      leaf.t,
    );
    const values = await run({ perSample, mse: terms.mse!, told: told as typeof perSample }, feeds);
    const expected = TIMES.map((t, n) => {
      const errors = [0, 1, 2].map((i) => {
        const [d, z] = [data[n * 3 + i]!, noise[n * 3 + i]!];
        return (2 * (t * d + (1 - t) * z) - (d - z)) ** 2;
      });
      return errors.reduce((sum, error) => sum + error, 0) / 3;
    });
    expectClose(values.get('perSample')!, expected, { relative: 1e-6 });
    expectClose(values.get('mse')!, expected, { relative: 1e-6 });
    expect(Array.from(values.get('told')!)).toEqual([250, 875]);
  });

  test('steps of dx/dt = t x follow their formulas', async () => {
    const x = input('x', [1, 1, 1, 1]);
    const interval = { time: input('time', []), nextTime: input('nextTime', []) };
    const slope = (state: Images, time: Tensor) => mul(state, reshape(time, [1, 1, 1, 1]));
    const step = (name: keyof typeof FIXED_METHODS) =>
      rungeKuttaStep(FIXED_METHODS[name], slope, x, interval);
    const values = await run(
      { euler: step('euler'), heun: step('heun'), midpoint: step('midpoint') },
      new Map([
        ['x', tensorOf('f32', [1, 1, 1, 1], [3])],
        ['time', scalar('f32', 0.5)],
        ['nextTime', scalar('f32', 0.75)],
      ]),
    );
    const predicted = 3 + 0.25 * 1.5;
    expectClose(values.get('euler')!, [predicted], { relative: 1e-6 });
    expectClose(values.get('heun')!, [3 + 0.125 * (1.5 + 0.75 * predicted)], { relative: 1e-6 });
    expectClose(values.get('midpoint')!, [3 + 0.25 * 0.625 * (3 + 0.125 * 1.5)], { relative: 1e-6 });
  });
});

test.each(PATHS)('rates of the %s path are its derivatives', (name) => {
  const [path, t, h] = [FLOW_PATHS[name], 0.3, 1e-6];
  const [before, at, after] = [t - h, t, t + h].map((time) => levelAt(path, time));
  const slope = (of: (level: typeof at) => number): number => (of(after) - of(before)) / (2 * h);
  expect(at!.alphaRate).toBeCloseTo(
    slope((level) => level!.alpha),
    7,
  );
  expect(at!.sigmaRate).toBeCloseTo(
    slope((level) => level!.sigma),
    7,
  );
  expect(at!.logAlphaRate).toBeCloseTo(
    slope((level) => Math.log(level!.alpha)),
    7,
  );
});

test('the variance preserving paths preserve it, and end at the data', () => {
  for (const path of [FLOW_PATHS.gvp, FLOW_PATHS.vp]) {
    for (const t of [0, 0.3, 0.999]) {
      const { alpha, sigma } = levelAt(path, t);
      expect(alpha ** 2 + sigma ** 2).toBeCloseTo(1, 12);
    }
    expect(levelAt(path, 1).alpha).toBeCloseTo(1, 12);
    expect(levelAt(path, 1).sigma).toBeCloseTo(0, 12);
  }
  expect(levelAt(FLOW_PATHS.vp, 0).alpha).toBeCloseTo(Math.exp(-5.025), 12);
});

test('times keep as far from the ends as is needed, or as is asked for', () => {
  const intervals = PATHS.flatMap((path) =>
    PREDICTIONS.map((prediction) => {
      const options = flowOptions({ path, prediction });
      return `${path} ${prediction}: ${trainingInterval(options)} ${samplingInterval(options)}`;
    }),
  );
  expect(intervals.join('\n')).toMatchInlineSnapshot(`
    "linear velocity: 0,1 0,1
    linear noise: 0.001,0.999 0.001,0.999
    linear score: 0.001,0.999 0.001,0.999
    gvp velocity: 0,1 0,1
    gvp noise: 0.001,0.999 0.001,0.999
    gvp score: 0.001,0.999 0.001,0.999
    vp velocity: 0,0.99999 0,0.999
    vp noise: 0,0.99999 0,0.999
    vp score: 0,0.99999 0,0.999"
  `);
  const given = flowOptions({ trainEps: 0.01, sampleEps: 0.02 });
  expect(trainingInterval(given)).toEqual([0.01, 0.99]);
  expect(samplingInterval(given)).toEqual([0.02, 0.98]);
  expect(samplingInterval(flowOptions({ sampleEps: 0.02 }))).toEqual([0.02, 0.98]);
});

describe('sampleFlowTimes', () => {
  const COUNT = 20_000;
  const sorted = (options: Parameters<typeof flowOptions>[0]): Float32Array =>
    sampleFlowTimes(flowOptions(options), randomKey(7), COUNT).data.toSorted();
  const quantile = (times: Float32Array, share: number): number => times[Math.floor(share * COUNT)]!;

  test('uniform times have uniform quantiles', () => {
    const times = sorted({});
    for (const share of [0.1, 0.5, 0.9]) expect(quantile(times, share)).toBeCloseTo(share, 1.5);
  });

  test('logit-normal times have the quantiles of a normal logit', () => {
    const times = sorted({ timeDistribution: 'logit-normal', logitMean: 0.5, logitStd: 2 });
    // Φ(−1) = 0.1587, Φ(0) = 0.5, Φ(1) = 0.8413
    for (const [share, z] of [
      [0.1587, -1],
      [0.5, 0],
      [0.8413, 1],
    ] as const) {
      const logit = Math.log(quantile(times, share) / (1 - quantile(times, share)));
      expect(Math.abs(logit - (0.5 + 2 * z))).toBeLessThan(0.1);
    }
  });
});

test('options that make no sense are refused', () => {
  expect(() => flowOptions({ sampleEps: 0.5 })).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: flowOptions: sampleEps is 0.5: it must be from 0 to below 0.5
      fix: use 0.001, or leave it out]
  `);
  expect(() => flowOptions({ lossWeight: 'likelihood' })).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: flowOptions: the loss weight is likelihood, but the network predicts a velocity, whose error has no weight
      fix: use lossWeight none, or prediction noise or score]
  `);
  expect(() => flowOptions({ logitStd: 0 })).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: flowOptions: logitStd is 0: it must be above 0
      fix: use 1]
  `);
});

test('a network with learned variances is refused', () => {
  const leaf = leaves();
  const denoise: Denoise = () => input('output', [2, 2, 1, 3]);
  expect(() =>
    flowLoss(flowOptions(), denoise, leaf.data, leaf.noise, leaf.t),
  ).toThrowErrorMatchingInlineSnapshot(`
    [ShapeError: ShapeError: flow: the network gives [2,2,1,3], a velocity of [2,1,1,3] is needed
      fix: build the model without learned variances]
  `);
});
