/**
 * @file Flows, the transport of SiT (Ma et al. 2024): what a network learns of a path from noise to data, at which
 * times, and what it then says of noisy images. Flow matching with the velocity of the linear path is the default.
 */
import { ConfigError, ShapeError } from '../../core/errors.ts';
import { type HostTensor, tensorOf } from '../../core/host-tensor.ts';
import { normal, type RandomKey, uniform } from '../../core/random.ts';
import { formatShape, sameShape } from '../../core/shape.ts';
import { add, broadcastTo, div, mul, reshape, square, sub } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import type { Denoise, Images, PerSample } from '../denoise.ts';
import { meanPerSample } from '../likelihood.ts';
import type { Loss } from '../objective.ts';
import {
  FLOW_PATHS,
  type FlowPathName,
  interpolate,
  noisingRate,
  type PathPoint,
  pathAt,
  pathVelocity,
} from './path.ts';
import type { FlowPrediction, FlowPredictionName } from './prediction.ts';

export interface FlowOptions {
  readonly path: FlowPathName;
  /** What the network gives. */
  readonly prediction: FlowPredictionName;
  /**
   * Of the squared error of a noise or score: none, or as it counts in the error of the velocity, or in a bound of the
   * likelihood. The error of a velocity has no weight; the reference ignores one that is asked for.
   */
  readonly lossWeight: 'none' | 'velocity' | 'likelihood';
  /** How times are drawn in training: evenly, or as sigmoid(mean + std · normal) (Esser et al. 2024, section 3.1). */
  readonly timeDistribution: 'uniform' | 'logit-normal';
  /** Mean and standard deviation of logit-normal times before the sigmoid. */
  readonly logitMean: number;
  readonly logitStd: number;
  /** The network is told t times this: 1 in SiT; 1000 uses the range of the timestep embedding. */
  readonly timeScale: number;
  /** How far times of training and of sampling stay from the path's ends; by default as far as is needed. */
  readonly trainEps?: number;
  readonly sampleEps?: number;
}

/** The options of SiT as published. */
export const REFERENCE_FLOW_OPTIONS: FlowOptions = {
  path: 'linear',
  prediction: 'velocity',
  lossWeight: 'none',
  timeDistribution: 'uniform',
  logitMean: 0,
  logitStd: 1,
  timeScale: 1,
};

/** @throws ConfigError if a number makes no sense, or a weight has nothing to weigh */
export function flowOptions(options: Partial<FlowOptions> = {}): FlowOptions {
  const resolved = { ...REFERENCE_FLOW_OPTIONS, ...options };
  for (const name of ['logitStd', 'timeScale'] as const) {
    if (!(resolved[name] > 0)) {
      throw new ConfigError({
        where: 'flowOptions',
        problem: `${name} is ${resolved[name]}: it must be above 0`,
        fix: `use ${REFERENCE_FLOW_OPTIONS[name]}`,
      });
    }
  }
  for (const name of ['trainEps', 'sampleEps'] as const) {
    const eps = resolved[name];
    if (eps === undefined || (eps >= 0 && eps < 0.5)) continue;
    throw new ConfigError({
      where: 'flowOptions',
      problem: `${name} is ${eps}: it must be from 0 to below 0.5`,
      fix: 'use 0.001, or leave it out',
    });
  }
  if (resolved.prediction === 'velocity' && resolved.lossWeight !== 'none') {
    throw new ConfigError({
      where: 'flowOptions',
      problem: `the loss weight is ${resolved.lossWeight}, but the network predicts a velocity, whose error has no weight`,
      fix: 'use lossWeight none, or prediction noise or score',
    });
  }
  return resolved;
}

export type Interval = readonly [from: number, to: number];

/**
 * The times that a network is trained at. Noise and score do not follow from x where it is all noise or all data, so
 * they stay 0.001 away. The path `vp` begins with some data in the noise, and its velocity has no limit at the data.
 */
export function trainingInterval({ path, prediction, trainEps }: FlowOptions): Interval {
  if (path === 'vp') return [0, 1 - (trainEps ?? 1e-5)];
  const eps = trainEps ?? (prediction === 'velocity' ? 0 : 1e-3);
  return [eps, 1 - eps];
}

/**
 * The times from which to which images are drawn.
 *
 * @param divides - does what draws divide by α or σ, so that it must keep away from the ends for any prediction?
 */
export function samplingInterval(
  { path, prediction, sampleEps }: FlowOptions,
  { divides = false }: { readonly divides?: boolean } = {},
): Interval {
  if (path === 'vp') return [0, 1 - (sampleEps ?? 1e-3)];
  const eps = sampleEps ?? (prediction === 'velocity' && !divides ? 0 : 1e-3);
  return [eps, 1 - eps];
}

/** Times to train at, from the training interval: float32 [count]. */
export function sampleFlowTimes(options: FlowOptions, key: RandomKey, count: number): HostTensor<'f32'> {
  return timesIn(trainingInterval(options), sharesOf(options, key, count));
}

function sharesOf(options: FlowOptions, key: RandomKey, count: number): Float32Array {
  if (options.timeDistribution === 'uniform') return uniform(key, count);
  const { logitMean, logitStd } = options;
  return normal(key, count).map((z) => 1 / (1 + Math.exp(-(logitMean + logitStd * z))));
}

/** The times at these shares of an interval: float32 [count]. */
export function timesIn([from, to]: Interval, shares: ArrayLike<number>): HostTensor<'f32'> {
  return tensorOf(
    'f32',
    [shares.length],
    Array.from(shares, (share) => from + share * (to - from)),
  );
}

/** Mean squared error of what the network predicts at times `t` (float32 [N]). */
export function flowLoss(
  options: FlowOptions,
  denoise: Denoise,
  data: Images,
  noise: Images,
  t: PerSample,
): Loss {
  const path = FLOW_PATHS[options.path];
  const perImage = reshape(t, [t.shape[0]!, 1, 1, 1]);
  const x = interpolate(path, data, noise, perImage);
  const output = checkedOutput(options, denoise(x, mul(t, options.timeScale)), x);
  const point = pathAt(path, perImage);
  const errors = {
    velocity: () => sub(output, pathVelocity(path, data, noise, perImage)),
    noise: () => sub(output, noise),
    score: () => add(mul(output, point.sigma), noise),
  };
  const squaredError = square(errors[options.prediction]());
  const mse = meanPerSample(weighted(options, squaredError, point));
  return { perSample: mse, terms: { mse } };
}

function weighted(
  { lossWeight }: FlowOptions,
  squaredError: Unlabelled,
  point: PathPoint<Tensor>,
): Unlabelled {
  if (lossWeight === 'none') return squaredError;
  const rate = noisingRate(point);
  return mul(
    lossWeight === 'velocity' ? square(div(rate, point.sigma)) : div(rate, square(point.sigma)),
    squaredError,
  );
}

/** What the network says of `x` at a time (float32 scalar). */
export function predictAt(options: FlowOptions, denoise: Denoise, x: Images, time: Tensor): FlowPrediction {
  const output = denoise(x, broadcastTo(mul(time, options.timeScale), [x.shape[0]!]));
  return {
    name: options.prediction,
    output: checkedOutput(options, output, x),
    x,
    point: pathAt(FLOW_PATHS[options.path], time),
  };
}

function checkedOutput({ prediction }: FlowOptions, output: Images, x: Images): Unlabelled {
  if (!sameShape(output.shape, x.shape)) {
    throw new ShapeError({
      where: 'flow',
      problem: `the network gives ${formatShape(output.shape)}, a ${prediction} of ${formatShape(x.shape)} is needed`,
      fix: 'build the model without learned variances',
    });
  }
  return output as Unlabelled;
}
