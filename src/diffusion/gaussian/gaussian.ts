/**
 * @file Gaussian diffusion (Ho et al. 2020; Nichol & Dhariwal 2021): its options, and the moments of the forward and
 * the reverse process as graph builders. Losses are in gaussian-loss.ts, sampler steps in gaussian-steps.ts.
 */
import { ShapeError } from '../../core/errors.ts';
import { tensorOf } from '../../core/host-tensor.ts';
import { formatShape, sameShape } from '../../core/shape.ts';
import { add, chunk, clamp, constant, div, exp, mul, sub, takeRows } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { type Coefficients, CoefficientTable } from '../coefficients.ts';
import type { Images, PerSample } from '../denoise.ts';
import { respacedBetas, spacedSteps } from './respacing.ts';
import { noiseSchedule, type ScheduleName } from './schedule.ts';
import { type GaussianTables, gaussianTables, upperVariances } from './tables.ts';

export interface GaussianOptions {
  /** Steps of the process as it is trained. */
  readonly steps: number;
  readonly schedule: ScheduleName;
  /** Which steps are used: all (`''`), `'250'`, `'10,15,20'`, `'ddim50'`; see {@link spacedSteps}. */
  readonly respacing: string;
  /** What the network's first C channels predict: the noise or the image. */
  readonly prediction: 'epsilon' | 'x0';
  /**
   * Variance of the reverse process. `learned-range`: C further channels interpolate between the two bounds, on a
   * logarithmic scale. `fixed-small`: the posterior variance. `fixed-large`: β.
   */
  readonly variance: 'learned-range' | 'fixed-small' | 'fixed-large';
  /**
   * `mse`: squared error, plus the variational bound for learned variances. `kl`: the bound alone. The rescaled forms
   * weigh the bound by steps / 1000 (`rescaled-mse`) or steps (`rescaled-kl`).
   */
  readonly loss: 'mse' | 'rescaled-mse' | 'kl' | 'rescaled-kl';
}

/** The options of DiT and U-DiT as published. */
export const REFERENCE_GAUSSIAN_OPTIONS: GaussianOptions = {
  steps: 1000,
  schedule: 'linear',
  respacing: '',
  prediction: 'epsilon',
  variance: 'learned-range',
  loss: 'mse',
};

export type GaussianCoefficient =
  | 'sqrtAlphaBar'
  | 'sqrtOneMinusAlphaBar'
  | 'oneMinusAlphaBar'
  | 'logOneMinusAlphaBar'
  | 'sqrtReciprocalAlphaBar'
  | 'sqrtReciprocalMinusOneAlphaBar'
  | 'posteriorX0Weight'
  | 'posteriorXtWeight'
  | 'posteriorVariance'
  | 'posteriorLogVariance'
  | 'upperVariance'
  | 'upperLogVariance'
  | 'logBeta'
  /** 0 at the first step (t = 0), where nothing is drawn any more, 1 elsewhere. */
  | 'noiseGate';

export interface GaussianDiffusion {
  readonly options: GaussianOptions;
  /** The step of the process as trained, for each step in use: what the network is told. */
  readonly networkSteps: readonly number[];
  readonly tables: GaussianTables;
  readonly coefficients: CoefficientTable<GaussianCoefficient>;
}

/**
 * Fixes the tables of a diffusion; options that are not given are the reference's.
 *
 * @param kept - the steps in use, increasing; default: those of `options.respacing`
 */
export function gaussianDiffusion(
  options: Partial<GaussianOptions> = {},
  kept?: readonly number[],
): GaussianDiffusion {
  const resolved = { ...REFERENCE_GAUSSIAN_OPTIONS, ...options };
  const networkSteps = kept ?? spacedSteps(resolved.steps, resolved.respacing);
  const betas = noiseSchedule(resolved.schedule, resolved.steps);
  const tables = gaussianTables(respacedBetas(betas, networkSteps));
  const upper = upperVariances(tables);
  const coefficients = new CoefficientTable<GaussianCoefficient>({
    sqrtAlphaBar: tables.sqrtAlphaBars,
    sqrtOneMinusAlphaBar: tables.sqrtOneMinusAlphaBars,
    oneMinusAlphaBar: tables.alphaBars.map((alphaBar) => 1 - alphaBar),
    logOneMinusAlphaBar: tables.logOneMinusAlphaBars,
    sqrtReciprocalAlphaBar: tables.sqrtReciprocalAlphaBars,
    sqrtReciprocalMinusOneAlphaBar: tables.sqrtReciprocalMinusOneAlphaBars,
    posteriorX0Weight: tables.posteriorX0Weights,
    posteriorXtWeight: tables.posteriorXtWeights,
    posteriorVariance: tables.posteriorVariances,
    posteriorLogVariance: tables.posteriorLogVariances,
    upperVariance: upper,
    upperLogVariance: upper.map(Math.log),
    logBeta: tables.betas.map(Math.log),
    noiseGate: tables.betas.map((_, step) => (step === 0 ? 0 : 1)),
  });
  return { options: resolved, networkSteps, tables, coefficients };
}

/** Times that the network is told at steps `t` (int64 [N]): float32 [N]. */
export function networkTimes({ networkSteps }: GaussianDiffusion, t: PerSample): Unlabelled {
  return takeRows(constant(tensorOf('f32', [networkSteps.length], networkSteps)), t);
}

/** A Gaussian per pixel; the variances broadcast over the image where they do not depend on it. */
export interface Moments {
  readonly mean: Tensor;
  readonly variance: Tensor;
  readonly logVariance: Tensor;
}

/** q(x_t | x_0). */
export function forwardMoments(
  c: Coefficients<'sqrtAlphaBar' | 'oneMinusAlphaBar' | 'logOneMinusAlphaBar'>,
  x0: Images,
): Moments {
  return {
    mean: mul(c.sqrtAlphaBar, x0),
    variance: c.oneMinusAlphaBar,
    logVariance: c.logOneMinusAlphaBar,
  };
}

/** A draw from q(x_t | x_0): √ᾱ x_0 + √(1 − ᾱ) noise. */
export function addNoise(
  c: Coefficients<'sqrtAlphaBar' | 'sqrtOneMinusAlphaBar'>,
  x0: Images,
  noise: Images,
): Unlabelled {
  return add(mul(c.sqrtAlphaBar, x0), mul(c.sqrtOneMinusAlphaBar, noise));
}

/** q(x_{t−1} | x_t, x_0) (Ho et al. 2020, eq. 7). */
export function posteriorMoments(
  c: Coefficients<'posteriorX0Weight' | 'posteriorXtWeight' | 'posteriorVariance' | 'posteriorLogVariance'>,
  x0: Images,
  xt: Images,
): Moments {
  return {
    mean: add(mul(c.posteriorX0Weight, x0), mul(c.posteriorXtWeight, xt)),
    variance: c.posteriorVariance,
    logVariance: c.posteriorLogVariance,
  };
}

/** The network's output, taken apart: [N, C, H, W] each. */
export interface Prediction {
  readonly value: Images;
  /** Where the variance lies between its bounds, −1 … 1; only where variances are learned. */
  readonly varianceMix?: Images;
}

/**
 * @param x - the images that the network was given
 * @throws ShapeError if the network has not C channels, or 2C where variances are learned
 */
export function splitPrediction({ options }: GaussianDiffusion, output: Images, x: Images): Prediction {
  const learned = options.variance === 'learned-range';
  const expected = x.shape.with(1, x.shape[1]! * (learned ? 2 : 1));
  if (!sameShape(output.shape, expected)) {
    throw new ShapeError({
      where: 'splitPrediction',
      problem: `the network gives ${formatShape(output.shape)}, variance "${options.variance}" needs ${formatShape(expected)}`,
      fix: learned
        ? 'build the model with learned variances, or use variance "fixed-large"'
        : 'build the model without learned variances, or use variance "learned-range"',
    });
  }
  if (!learned) return { value: output };
  const [value, varianceMix] = chunk(output, 2, 1) as [Unlabelled, Unlabelled];
  return { value, varianceMix };
}

export type ConversionCoefficient = 'sqrtReciprocalAlphaBar' | 'sqrtReciprocalMinusOneAlphaBar';

/** x_0 from the noise in x_t: x_t / √ᾱ − √(1 / ᾱ − 1) noise. */
export function x0FromNoise(c: Coefficients<ConversionCoefficient>, xt: Images, noise: Images): Unlabelled {
  return sub(mul(c.sqrtReciprocalAlphaBar, xt), mul(c.sqrtReciprocalMinusOneAlphaBar, noise));
}

/** The noise in x_t, given x_0. */
export function noiseFromX0(c: Coefficients<ConversionCoefficient>, xt: Images, x0: Images): Unlabelled {
  return div(sub(mul(c.sqrtReciprocalAlphaBar, xt), x0), c.sqrtReciprocalMinusOneAlphaBar);
}

/** Limits predicted images to [−1, 1]; for pixels, not for latents. */
export interface ClipOption {
  readonly clip: boolean;
}

/** The image that a prediction stands for. */
export function predictX0(
  { options }: GaussianDiffusion,
  c: Coefficients<ConversionCoefficient>,
  { value }: Prediction,
  xt: Images,
  { clip }: ClipOption,
): Unlabelled {
  const x0 = options.prediction === 'x0' ? (value as Unlabelled) : x0FromNoise(c, xt, value);
  return clip ? clamp(x0, -1, 1) : x0;
}

/** p(x_{t−1} | x_t), and the x_0 it was made from. */
export function reverseMoments(
  diffusion: GaussianDiffusion,
  c: Coefficients<GaussianCoefficient>,
  prediction: Prediction,
  xt: Images,
  clip: ClipOption,
): Moments & { readonly x0: Unlabelled } {
  const x0 = predictX0(diffusion, c, prediction, xt, clip);
  const { mean } = posteriorMoments(c, x0, xt);
  return { mean, ...reverseVariance(diffusion, c, prediction), x0 };
}

function reverseVariance(
  { options }: GaussianDiffusion,
  c: Coefficients<GaussianCoefficient>,
  { varianceMix }: Prediction,
): Omit<Moments, 'mean'> {
  if (varianceMix !== undefined) {
    // log σ² = f log β + (1 − f) log β̃ with f in 0 … 1 (Nichol & Dhariwal 2021, eq. 15).
    const fraction = mul(add(varianceMix, 1), 0.5);
    const logVariance = add(mul(fraction, c.logBeta), mul(sub(1, fraction), c.posteriorLogVariance));
    return { variance: exp(logVariance), logVariance };
  }
  return options.variance === 'fixed-small'
    ? { variance: c.posteriorVariance, logVariance: c.posteriorLogVariance }
    : { variance: c.upperVariance, logVariance: c.upperLogVariance };
}
