/** @file Flow matching with velocity prediction: the loss, and the steps of its samplers (Ma et al. 2024, SiT). */
import { ConfigError, ShapeError } from '../core/errors.ts';
import { type HostTensor, tensorOf } from '../core/host-tensor.ts';
import { normal, type RandomKey, uniform } from '../core/random.ts';
import { formatShape, sameShape } from '../core/shape.ts';
import { add, broadcastTo, mul, reshape, square, sub } from '../graph/operators.ts';
import type { Tensor, Unlabelled } from '../graph/tensor.ts';
import type { Denoise, Images, PerSample } from './denoise.ts';
import { dataFromVelocity, FLOW_PATHS, type FlowPathName, interpolate, pathVelocity } from './flow-path.ts';
import { meanPerSample } from './likelihood.ts';
import type { Loss } from './objective.ts';
import type { SamplerStep } from './sampling-plan.ts';

export interface FlowOptions {
  readonly path: FlowPathName;
  /** How times are drawn in training: evenly, or as sigmoid(mean + std · normal) (Esser et al. 2024, section 3.1). */
  readonly timeDistribution: 'uniform' | 'logit-normal';
  /** Mean and standard deviation of logit-normal times before the sigmoid. */
  readonly logitMean: number;
  readonly logitStd: number;
  /** The network is told t times this: 1 in SiT; 1000 uses the range of the timestep embedding. */
  readonly timeScale: number;
}

/** The options of SiT as published. */
export const REFERENCE_FLOW_OPTIONS: FlowOptions = {
  path: 'linear',
  timeDistribution: 'uniform',
  logitMean: 0,
  logitStd: 1,
  timeScale: 1,
};

/** @throws ConfigError if a number makes no sense */
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
  return resolved;
}

/** Times to train at, in [0, 1): float32 [count]. */
export function sampleFlowTimes(options: FlowOptions, key: RandomKey, count: number): HostTensor<'f32'> {
  if (options.timeDistribution === 'uniform') return tensorOf('f32', [count], uniform(key, count));
  const { logitMean, logitStd } = options;
  const times = normal(key, count).map((z) => 1 / (1 + Math.exp(-(logitMean + logitStd * z))));
  return tensorOf('f32', [count], times);
}

/** Mean squared error of the velocity at times `t` (float32 [N]). */
export function flowLoss(
  { path: pathName, timeScale }: FlowOptions,
  denoise: Denoise,
  data: Images,
  noise: Images,
  t: PerSample,
): Loss {
  const path = FLOW_PATHS[pathName];
  const perImage = reshape(t, [t.shape[0]!, 1, 1, 1]);
  const x = interpolate(path, data, noise, perImage);
  const velocity = checkedVelocity(denoise(x, mul(t, timeScale)), x);
  const mse = meanPerSample(square(sub(velocity, pathVelocity(path, data, noise, perImage))));
  return { perSample: mse, terms: { mse } };
}

/** Times at which a step begins and ends: float32 scalars. */
export interface FlowInterval {
  readonly time: Tensor;
  readonly nextTime: Tensor;
}

/** x + h v(x, t): first order, one evaluation of the network. */
export function eulerStep(
  options: FlowOptions,
  denoise: Denoise,
  x: Images,
  { time, nextTime }: FlowInterval,
): SamplerStep {
  const velocity = velocityAt(options, denoise, x, time);
  return {
    x: add(x, mul(sub(nextTime, time), velocity)),
    x0: dataFromVelocity(FLOW_PATHS[options.path], x, velocity, time),
  };
}

/** x + h/2 (v(x, t) + v(x + h v, t + h)): second order, two evaluations of the network. */
export function heunStep(
  options: FlowOptions,
  denoise: Denoise,
  x: Images,
  { time, nextTime }: FlowInterval,
): SamplerStep {
  const duration = sub(nextTime, time);
  const first = velocityAt(options, denoise, x, time);
  const second = velocityAt(options, denoise, add(x, mul(duration, first)), nextTime);
  return {
    x: add(x, mul(mul(duration, 0.5), add(first, second))),
    x0: dataFromVelocity(FLOW_PATHS[options.path], x, first, time),
  };
}

/** The data that the network sees in `x` at a time (float32 scalar). */
export function predictData(options: FlowOptions, denoise: Denoise, x: Images, time: Tensor): Unlabelled {
  return dataFromVelocity(FLOW_PATHS[options.path], x, velocityAt(options, denoise, x, time), time);
}

function velocityAt({ timeScale }: FlowOptions, denoise: Denoise, x: Images, time: Tensor): Unlabelled {
  return checkedVelocity(denoise(x, broadcastTo(mul(time, timeScale), [x.shape[0]!])), x);
}

function checkedVelocity(velocity: Images, x: Images): Unlabelled {
  if (!sameShape(velocity.shape, x.shape)) {
    throw new ShapeError({
      where: 'flow',
      problem: `the network gives ${formatShape(velocity.shape)}, a velocity of ${formatShape(x.shape)} is needed`,
      fix: 'build the model without learned variances',
    });
  }
  return velocity as Unlabelled;
}
