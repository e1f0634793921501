/** @file Single steps of sampling from a Gaussian diffusion. */
import { add, exp, mul } from '../../engine/graph/operators.ts';
import { type Coefficients, CoefficientTable } from '../coefficients.ts';
import type { Images } from '../denoise.ts';
import type { SamplerStep } from '../sampling-plan.ts';
import {
  type ClipOption,
  type GaussianCoefficient,
  type GaussianDiffusion,
  noiseFromX0,
  type Prediction,
  predictX0,
  reverseMoments,
} from './gaussian.ts';
import type { GaussianTables } from './tables.ts';

/** A draw from p(x_{t−1} | x_t) (Ho et al. 2020, algorithm 2); at t = 0 its mean. */
export function ddpmStep(
  diffusion: GaussianDiffusion,
  c: Coefficients<GaussianCoefficient>,
  prediction: Prediction,
  xt: Images,
  noise: Images,
  clip: ClipOption,
): SamplerStep {
  const { mean, logVariance, x0 } = reverseMoments(diffusion, c, prediction, xt, clip);
  const deviation = mul(c.noiseGate, exp(mul(logVariance, 0.5)));
  return { x: add(mean, mul(deviation, noise)), x0 };
}

export type DdimCoefficient =
  | 'sqrtReciprocalAlphaBar'
  | 'sqrtReciprocalMinusOneAlphaBar'
  /** Weights of x_0, of the predicted noise and of new noise in the next image. */
  | 'x0Weight'
  | 'predictedNoiseWeight'
  | 'newNoiseWeight';

/**
 * DDIM towards the data (Song et al. 2021, eq. 12 and 16).
 *
 * @param eta - 0: deterministic; 1: as much new noise as DDPM with the posterior variance
 */
export function ddimCoefficients(tables: GaussianTables, eta: number): CoefficientTable<DdimCoefficient> {
  return ddimTable(tables, tables.previousAlphaBars, eta);
}

/** DDIM backwards, from data to the noise that it is drawn from; deterministic. */
export function ddimReverseCoefficients(tables: GaussianTables): CoefficientTable<DdimCoefficient> {
  return ddimTable(tables, tables.nextAlphaBars, 0);
}

function ddimTable(
  tables: GaussianTables,
  targetAlphaBars: Float64Array,
  eta: number,
): CoefficientTable<DdimCoefficient> {
  // The reference computes these in float32, operation by operation. In the last steps, where ᾱ is near 1, that moves
  // the weights by some 1e-4 of themselves, and published samples were drawn so.
  const round = Math.fround;
  const alphaBars = tables.alphaBars.map(round);
  const targets = targetAlphaBars.map(round);
  const newNoiseWeight = targets.map((target, step) => {
    const alphaBar = alphaBars[step]!;
    if (eta === 0) return 0;
    const varianceRatio = round(round(1 - target) / round(1 - alphaBar));
    const beta = round(1 - round(alphaBar / target));
    return round(round(eta * round(Math.sqrt(varianceRatio))) * round(Math.sqrt(beta)));
  });
  return new CoefficientTable<DdimCoefficient>({
    sqrtReciprocalAlphaBar: tables.sqrtReciprocalAlphaBars,
    sqrtReciprocalMinusOneAlphaBar: tables.sqrtReciprocalMinusOneAlphaBars,
    x0Weight: targets.map(Math.sqrt),
    predictedNoiseWeight: targets.map((target, step) =>
      Math.sqrt(round(round(1 - target) - round(newNoiseWeight[step]! ** 2))),
    ),
    newNoiseWeight,
  });
}

/** A step of DDIM in the direction that the coefficients were made for; `noise` may be left out where eta is 0. */
export function ddimStep(
  diffusion: GaussianDiffusion,
  c: Coefficients<DdimCoefficient>,
  prediction: Prediction,
  xt: Images,
  noise: Images | undefined,
  clip: ClipOption,
): SamplerStep {
  const x0 = predictX0(diffusion, c, prediction, xt, clip);
  // From the (clipped) x_0 and not the network, so that both agree.
  const predictedNoise = noiseFromX0(c, xt, x0);
  const mean = add(mul(c.x0Weight, x0), mul(c.predictedNoiseWeight, predictedNoise));
  return { x: noise === undefined ? mean : add(mean, mul(c.newNoiseWeight, noise)), x0 };
}
