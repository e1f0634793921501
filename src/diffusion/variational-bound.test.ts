/** @file The bound of both kinds of models on data whose exact denoiser and whose entropy are known. */
import { describe, expect, test } from 'vitest';
import { hostTensor, type TensorMap } from '../core/host-tensor.ts';
import { normal, randomKey } from '../core/random.ts';
import { compileTraining } from '../engine/compile/training.ts';
import { graphOf } from '../engine/graph/graph.ts';
import { add, constantOf, div, input, mean, mul, reshape, square, sub } from '../engine/graph/operators.ts';
import { cpuBackend } from '../engine/runtime/cpu-node.ts';
import type { Denoise } from './denoise.ts';
import { flowObjective } from './flow/objective.ts';
import { FLOW_PATHS, type FlowPathName, pathAt } from './flow/path.ts';
import { gaussianObjective } from './gaussian/objective.ts';
import { variationalBound } from './variational-bound.ts';

/** Pixels are normally distributed with this deviation, rounded to grey levels. */
const DEVIATION = 0.3;
const BIN = 2 / 255;
/** Of a normal density, spread over bins: log₂(s √(2πe) / bin). */
const ENTROPY_BITS = Math.log2((DEVIATION * Math.sqrt(2 * Math.PI * Math.E)) / BIN);

const COUNT = 16_000;
const SHAPE = [COUNT, 3, 4, 4];
const feeds: TensorMap = new Map(
  Object.entries({
    x0: normal(randomKey(1), COUNT * 48).map((z) => Math.round(((z * DEVIATION + 1) * 255) / 2) * BIN - 1),
    noise: normal(randomKey(2), COUNT * 48),
  }).map(([name, values]) => [name, hostTensor('f32', SHAPE, values)]),
);

async function boundOf(objective: Parameters<typeof variationalBound>[0], denoise: Denoise): Promise<number> {
  const { timeType, evaluationTimes, buildLoss } = variationalBound(objective);
  const [x0, noise] = [input('x0', SHAPE), input('noise', SHAPE)];
  const bits = mean(buildLoss(denoise, x0, noise, input('t', [COUNT], timeType)).perSample);
  const session = await compileTraining(graphOf({ bits }), cpuBackend, { threads: 1 });
  const results = await session.run(new Map([...feeds, ['t', evaluationTimes(COUNT)]]));
  await session.release();
  return Number(results.get('bits')!.data[0]);
}

/** What the exact denoiser predicts instead of a velocity: noise σ x / (α² s² + σ²), or a score of −noise / σ. */
const predictionOn =
  (path: FlowPathName, prediction: 'noise' | 'score'): Denoise =>
  (x, time) => {
    const { alpha, sigma } = pathAt(FLOW_PATHS[path], reshape(time, [COUNT, 1, 1, 1]));
    const total = add(mul(square(alpha), DEVIATION ** 2), square(sigma));
    return prediction === 'noise' ? div(mul(sigma, x), total) : div(mul(x, -1), total);
  };

/** The velocity of the exact denoiser, d = α s² x / (α² s² + σ²), made wrong by a factor. */
const flowDenoiser =
  (factor: number): Denoise =>
  (x, time) => {
    const t = reshape(time, [COUNT, 1, 1, 1]);
    const sigma = sub(1, t);
    const total = add(mul(square(t), DEVIATION ** 2), square(sigma));
    const data = div(mul(mul(t, factor * DEVIATION ** 2), x), total);
    return div(sub(data, x), sigma);
  };

describe('of a flow', () => {
  // Seen through noise of half a level, a level is a bin as wide as that: the variance of σ² is taken for 4/3 σ².
  const levels = (3 / 4 - 1 + Math.log(4 / 3)) / 2 / Math.LN2;

  test('with the exact denoiser it is the entropy of the data', async () => {
    const bound = await boundOf(flowObjective(), flowDenoiser(1));
    expect(Math.abs(bound - ENTROPY_BITS - levels)).toBeLessThan(0.05);
  });

  test.each([
    ['gvp', 'noise'],
    ['vp', 'score'],
  ] as const)('it is the same on %s from a %s', async (path, prediction) => {
    const bound = await boundOf(flowObjective({ path, prediction }), predictionOn(path, prediction));
    expect(Math.abs(bound - ENTROPY_BITS - levels)).toBeLessThan(0.05);
  });

  test('with a worse one it is above', async () => {
    expect(await boundOf(flowObjective(), flowDenoiser(0.9))).toBeGreaterThan(ENTROPY_BITS + 0.2);
  });

  test('its times have evenly spread logarithms of α/σ', () => {
    const times = Array.from(variationalBound(flowObjective()).evaluationTimes(3).data, Number);
    const ratios = times.map((t) => Math.log(t / (1 - t)));
    expect(ratios[1]! - ratios[0]!).toBeCloseTo(Math.log(255 / 0.01) / 3, 3);
    expect(ratios[2]! - ratios[1]!).toBeCloseTo(Math.log(255 / 0.01) / 3, 3);
  });
});

test('of a Gaussian diffusion with the exact denoiser it is the sum of its known terms', async () => {
  const objective = gaussianObjective({ variance: 'fixed-small' });
  const { alphaBars, posteriorVariances } = objective.diffusion.tables;
  /** Of a pixel, once x_t is known. */
  const varianceAt = (t: number) => {
    const noise = 1 - alphaBars[t]!;
    return (DEVIATION ** 2 * noise) / (alphaBars[t]! * DEVIATION ** 2 + noise);
  };
  const snr = (t: number) => alphaBars[t]! / (1 - alphaBars[t]!);
  // ½ (SNR(t−1) − SNR(t)) Var(x_0 | x_t), and a Gaussian of the first posterior's variance for the pixels.
  let nats = 0;
  for (let t = 1; t < 1000; t++) nats += ((snr(t - 1) - snr(t)) * varianceAt(t)) / 2;
  const variance = posteriorVariances[1]!;
  nats += Math.log(Math.sqrt(2 * Math.PI * variance) / BIN) + varianceAt(0) / variance / 2;

  const scales = Array.from(objective.evaluationTimes(COUNT).data, (t) => {
    const alphaBar = alphaBars[Number(t)]!;
    return Math.sqrt(1 - alphaBar) / (alphaBar * DEVIATION ** 2 + 1 - alphaBar);
  });
  const bound = await boundOf(objective, (x) => mul(x, constantOf([COUNT, 1, 1, 1], scales)));
  expect(Math.abs(bound - nats / Math.LN2)).toBeLessThan(0.1);
});
