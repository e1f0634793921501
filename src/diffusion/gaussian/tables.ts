/** @file The float64 tables of a Gaussian diffusion, one value per step (Ho et al. 2020, sections 2 and 3). */
import { cumulativeAlphas } from './schedule.ts';

export interface GaussianTables {
  readonly betas: Float64Array;
  /** ᾱ_t. */
  readonly alphaBars: Float64Array;
  /** ᾱ_{t−1}, 1 at the first step. */
  readonly previousAlphaBars: Float64Array;
  /** ᾱ_{t+1}, 0 at the last step. */
  readonly nextAlphaBars: Float64Array;
  readonly sqrtAlphaBars: Float64Array;
  readonly sqrtOneMinusAlphaBars: Float64Array;
  readonly logOneMinusAlphaBars: Float64Array;
  /** √(1 / ᾱ). */
  readonly sqrtReciprocalAlphaBars: Float64Array;
  /** √(1 / ᾱ − 1). */
  readonly sqrtReciprocalMinusOneAlphaBars: Float64Array;
  /** Variance of q(x_{t−1} | x_t, x_0), 0 at the first step. */
  readonly posteriorVariances: Float64Array;
  /** Its logarithm, with the second step's value in place of log 0. */
  readonly posteriorLogVariances: Float64Array;
  /** Weight of x_0 in the mean of q(x_{t−1} | x_t, x_0). */
  readonly posteriorX0Weights: Float64Array;
  /** Weight of x_t in it. */
  readonly posteriorXtWeights: Float64Array;
}

export function gaussianTables(betas: Float64Array): GaussianTables {
  const alphaBars = cumulativeAlphas(betas);
  const previousAlphaBars = alphaBars.map((_, i) => alphaBars[i - 1] ?? 1);
  const perStep = (value: (alphaBar: number, previous: number, beta: number) => number): Float64Array =>
    alphaBars.map((alphaBar, i) => value(alphaBar, previousAlphaBars[i]!, betas[i]!));
  const posteriorVariances = perStep((alphaBar, previous, beta) => (beta * (1 - previous)) / (1 - alphaBar));
  return {
    betas,
    alphaBars,
    previousAlphaBars,
    nextAlphaBars: alphaBars.map((_, i) => alphaBars[i + 1] ?? 0),
    sqrtAlphaBars: perStep(Math.sqrt),
    sqrtOneMinusAlphaBars: perStep((alphaBar) => Math.sqrt(1 - alphaBar)),
    logOneMinusAlphaBars: perStep((alphaBar) => Math.log(1 - alphaBar)),
    sqrtReciprocalAlphaBars: perStep((alphaBar) => Math.sqrt(1 / alphaBar)),
    sqrtReciprocalMinusOneAlphaBars: perStep((alphaBar) => Math.sqrt(1 / alphaBar - 1)),
    posteriorVariances,
    posteriorLogVariances: replaceFirst(posteriorVariances, betas).map(Math.log),
    posteriorX0Weights: perStep((alphaBar, previous, beta) => (beta * Math.sqrt(previous)) / (1 - alphaBar)),
    posteriorXtWeights: perStep(
      (alphaBar, previous, beta) => ((1 - previous) * Math.sqrt(1 - beta)) / (1 - alphaBar),
    ),
  };
}

/**
 * Variances of the reverse process that are fixed at the forward ones: β, with the second step's posterior variance in
 * front, which gives better likelihoods at the first step (Ho et al. 2020, section 3.2).
 */
export function upperVariances({ betas, posteriorVariances }: GaussianTables): Float64Array {
  return betas.with(0, replaceFirst(posteriorVariances, betas)[0]!);
}

/** The first posterior variance is 0: the second one stands in, or β where there is only one step. */
function replaceFirst(posteriorVariances: Float64Array, betas: Float64Array): Float64Array {
  return posteriorVariances.with(0, posteriorVariances[1] ?? betas[0]!);
}
