/**
 * @file Paths between noise and data, in SiT's convention of time (Ma et al. 2024; the code, not the paper): t = 0 is
 * noise and t = 1 is data. x_t = α(t) data + σ(t) noise, with α(0) = 0, α(1) = 1, σ(0) = 1, σ(1) = 0.
 */
import { add, div, mul, type Operand, sub } from '../graph/operators.ts';
import type { Tensor, Unlabelled } from '../graph/tensor.ts';
import type { Images } from './denoise.ts';
import type { NoiseLevel } from './dpm-solver.ts';

/** Functions of the time, float32 of any shape, in the graph. */
export interface FlowPath {
  alpha(t: Tensor): Operand;
  sigma(t: Tensor): Operand;
  /** dα/dt. */
  alphaRate(t: Tensor): Operand;
  /** dσ/dt. */
  sigmaRate(t: Tensor): Operand;
  /** α and σ on the host, for coefficients that are computed before a graph runs. */
  levelAt(t: number): NoiseLevel;
}

export type FlowPathName = 'linear';

export const FLOW_PATHS: Readonly<Record<FlowPathName, FlowPath>> = {
  /** x_t = t data + (1 − t) noise. */
  linear: {
    alpha: (t) => t,
    sigma: (t) => sub(1, t),
    alphaRate: () => 1,
    sigmaRate: () => -1,
    levelAt: (t) => ({ alpha: t, sigma: 1 - t }),
  },
};

// In what follows `t` is [N, 1, 1, 1] or [1, 1, 1, 1].

/** x_t. */
export function interpolate(path: FlowPath, data: Images, noise: Images, t: Tensor): Unlabelled {
  return add(mul(path.alpha(t), data), mul(path.sigma(t), noise));
}

/** The velocity dx_t/dt of a pair; for the linear path data − noise at any time. */
export function pathVelocity(path: FlowPath, data: Images, noise: Images, t: Tensor): Unlabelled {
  return add(mul(path.alphaRate(t), data), mul(path.sigmaRate(t), noise));
}

/** The data that x_t and its velocity stand for: x_t = α d + σ n and v = α′ d + σ′ n, solved for d. */
export function dataFromVelocity(path: FlowPath, x: Images, velocity: Images, t: Tensor): Unlabelled {
  const [alpha, sigma] = [path.alpha(t), path.sigma(t)];
  const [alphaRate, sigmaRate] = [path.alphaRate(t), path.sigmaRate(t)];
  return div(sub(mul(sigmaRate, x), mul(sigma, velocity)), sub(mul(sigmaRate, alpha), mul(sigma, alphaRate)));
}
