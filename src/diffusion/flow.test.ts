import { describe, expect, test } from 'vitest';
import { expectClose } from '../../test/support/closeness.ts';
import { ENGINES } from '../../test/support/diffusion-fixtures.ts';
import { scalar, tensorOf } from '../core/host-tensor.ts';
import { normal, randomKey } from '../core/random.ts';
import { cos, input, mul, neg, reshape, sin } from '../graph/operators.ts';
import type { Denoise } from './denoise.ts';
import { eulerStep, flowLoss, flowOptions, heunStep, sampleFlowTimes } from './flow.ts';
import {
  dataFromVelocity,
  FLOW_PATHS,
  type FlowPath,
  type FlowPathName,
  interpolate,
  pathVelocity,
} from './flow-path.ts';

const [float64] = ENGINES as [(typeof ENGINES)[0]];

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
    const values = await run({ x, velocity, found: dataFromVelocity(path, x, velocity, perImage) }, feeds);
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

  test.each(Object.keys(FLOW_PATHS) as FlowPathName[])(
    'levels of the %s path on the host are those of the graph',
    async (name) => {
      const [path, { t }] = [FLOW_PATHS[name], leaves()];
      const values = await run({ alpha: mul(path.alpha(t), 1), sigma: mul(path.sigma(t), 1) }, feeds);
      const levels = TIMES.map((time) => path.levelAt(time));
      expectClose(
        values.get('alpha')!,
        levels.map(({ alpha }) => alpha),
        { relative: 1e-6 },
      );
      expectClose(
        values.get('sigma')!,
        levels.map(({ sigma }) => sigma),
        { relative: 1e-6 },
      );
    },
  );

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
    const denoise: Denoise = (state, time) => mul(state, reshape(time, [1, 1, 1, 1]));
    const interval = { time: input('time', []), nextTime: input('nextTime', []) };
    const euler = eulerStep(flowOptions(), denoise, x, interval);
    const heun = heunStep(flowOptions(), denoise, x, interval);
    const values = await run(
      { euler: euler.x, heun: heun.x, x0: heun.x0 },
      new Map([
        ['x', tensorOf('f32', [1, 1, 1, 1], [3])],
        ['time', scalar('f32', 0.5)],
        ['nextTime', scalar('f32', 0.75)],
      ]),
    );
    const predicted = 3 + 0.25 * 1.5;
    expectClose(values.get('euler')!, [predicted], { relative: 1e-6 });
    expectClose(values.get('heun')!, [3 + 0.125 * (1.5 + 0.75 * predicted)], { relative: 1e-6 });
    expectClose(values.get('x0')!, [3 + 0.5 * 1.5], { relative: 1e-6 });
  });
});

test('data is found again on a path that is not linear', async () => {
  const quarter = Math.PI / 2;
  const circular: FlowPath = {
    alpha: (t) => sin(mul(t, quarter)),
    sigma: (t) => cos(mul(t, quarter)),
    alphaRate: (t) => mul(cos(mul(t, quarter)), quarter),
    sigmaRate: (t) => neg(mul(sin(mul(t, quarter)), quarter)),
    levelAt: (t) => ({ alpha: Math.sin(t * quarter), sigma: Math.cos(t * quarter) }),
  };
  const leaf = leaves();
  const perImage = reshape(leaf.t, [2, 1, 1, 1]);
  const x = interpolate(circular, leaf.data, leaf.noise, perImage);
  const velocity = pathVelocity(circular, leaf.data, leaf.noise, perImage);
  const values = await float64.run({ found: dataFromVelocity(circular, x, velocity, perImage) }, feeds);
  expectClose(values.get('found')!, data, { relative: 1e-7 });
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
