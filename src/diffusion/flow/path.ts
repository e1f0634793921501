/**
 * @file Paths between noise and data, in SiT's convention of time (Ma et al. 2024; the code, not the paper): t = 0 is
 * noise and t = 1 is data. x_t = α(t) data + σ(t) noise; α grows to 1 and σ falls to 0 on the way.
 */
import { add, cos, div, exp, mul, sin, sqrt, sub, tanh } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import type { Images } from '../denoise.ts';

/** What a path is written in: tensors of a graph, or numbers on the host for coefficients of sampling steps. */
interface Arithmetic<T> {
  add(a: T | number, b: T | number): T;
  sub(a: T | number, b: T | number): T;
  mul(a: T | number, b: T | number): T;
  div(a: T | number, b: T | number): T;
  exp(x: T): T;
  sqrt(x: T): T;
  sin(x: T): T;
  cos(x: T): T;
  tanh(x: T): T;
}

const OF_TENSORS: Arithmetic<Tensor> = { add, sub, mul, div, exp, sqrt, sin, cos, tanh };

const OF_NUMBERS: Arithmetic<number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  exp: Math.exp,
  sqrt: Math.sqrt,
  sin: Math.sin,
  cos: Math.cos,
  tanh: Math.tanh,
};

/** A path at a time. */
export interface PathPoint<T> {
  readonly alpha: T;
  readonly sigma: T;
  /** dα/dt and dσ/dt. */
  readonly alphaRate: T | number;
  readonly sigmaRate: T | number;
  /** d log α/dt. */
  readonly logAlphaRate: T | number;
}

export type FlowPath = <T>(arithmetic: Arithmetic<T>, t: T) => PathPoint<T>;

export type FlowPathName = 'linear' | 'gvp' | 'vp';

/** Of the noise schedule of `vp` (Song et al. 2021), β falls from the largest to the smallest. */
const [SMALLEST_BETA, LARGEST_BETA] = [0.1, 20];

export const FLOW_PATHS: Readonly<Record<FlowPathName, FlowPath>> = {
  /** x_t = t data + (1 − t) noise. */
  linear: (m, t) => ({
    alpha: t,
    sigma: m.sub(1, t),
    alphaRate: 1,
    sigmaRate: -1,
    logAlphaRate: m.div(1, t),
  }),
  /** Generalised variance preserving: x_t = sin(πt/2) data + cos(πt/2) noise. */
  gvp: (m, t) => {
    const quarter = Math.PI / 2;
    const angle = m.mul(t, quarter);
    const [alpha, sigma] = [m.sin(angle), m.cos(angle)];
    return {
      alpha,
      sigma,
      alphaRate: m.mul(sigma, quarter),
      sigmaRate: m.mul(alpha, -quarter),
      logAlphaRate: m.div(m.mul(sigma, quarter), alpha),
    };
  },
  /**
   * Variance preserving with β linear in time, α² = e^(−u) where u is β's integral from t to the data. At t = 0 some
   * data is left: α is 0.0066.
   */
  vp: (m, t) => {
    const remaining = m.sub(1, t);
    const slope = LARGEST_BETA - SMALLEST_BETA;
    const u = m.mul(remaining, m.add(m.mul(remaining, slope / 2), SMALLEST_BETA));
    const alpha = m.exp(m.mul(u, -0.5));
    // 1 − e^(−u), whose digits a float32 subtraction would lose near the data.
    const sigma = m.sqrt(m.mul(m.tanh(m.mul(u, 0.5)), m.add(1, m.exp(m.mul(u, -1)))));
    const logAlphaRate = m.mul(m.add(m.mul(remaining, slope), SMALLEST_BETA), 0.5);
    return {
      alpha,
      sigma,
      alphaRate: m.mul(alpha, logAlphaRate),
      sigmaRate: m.div(m.mul(m.mul(alpha, alpha), m.mul(logAlphaRate, -1)), sigma),
      logAlphaRate,
    };
  },
};

/** A path at float32 times of any shape, in the graph. */
export const pathAt = (path: FlowPath, t: Tensor): PathPoint<Tensor> => path(OF_TENSORS, t);

/** A path at a time, on the host. */
export const levelAt = (path: FlowPath, t: number): PathPoint<number> => path(OF_NUMBERS, t);

/**
 * g of the path's forward process d log α/dt x + √(2g) noise: g = σ² d log α/dt − σ dσ/dt. It turns a score into a
 * velocity, v = (d log α/dt) x + g score.
 */
export function noisingRate({ sigma, sigmaRate, logAlphaRate }: PathPoint<Tensor>): Unlabelled {
  return mul(sigma, sub(mul(sigma, logAlphaRate), sigmaRate));
}

/** The same on the host. */
export function noisingRateAt({ sigma, sigmaRate, logAlphaRate }: PathPoint<number>): number {
  return sigma * (sigma * (logAlphaRate as number) - (sigmaRate as number));
}

// In what follows `t` is [N, 1, 1, 1] or [1, 1, 1, 1].

/** x_t. */
export function interpolate(path: FlowPath, data: Images, noise: Images, t: Tensor): Unlabelled {
  const { alpha, sigma } = pathAt(path, t);
  return add(mul(alpha, data), mul(sigma, noise));
}

/** The velocity dx_t/dt of a pair; for the linear path data − noise at any time. */
export function pathVelocity(path: FlowPath, data: Images, noise: Images, t: Tensor): Unlabelled {
  const { alphaRate, sigmaRate } = pathAt(path, t);
  return add(mul(alphaRate, data), mul(sigmaRate, noise));
}
