/**
 * @file DPM-Solver++ in its two-step form, 2M, and as a stochastic process, 2M SDE (Lu et al. 2022, "DPM-Solver++",
 * algorithm 2 and appendix). It knows how much data and noise there is before and after a step, and no objective.
 */
import { add, input, mul } from '../../engine/graph/operators.ts';
import type { Unlabelled } from '../../engine/graph/tensor.ts';
import type { Coefficients } from '../coefficients.ts';
import type { Images } from '../denoise.ts';
import type { SamplerStep } from '../sampling-plan.ts';

export type DpmSolverName = 'dpm++2m' | 'dpm++2m-sde';

/** x = α data + σ noise. */
export interface NoiseLevel {
  readonly alpha: number;
  readonly sigma: number;
}

export const PURE_DATA: NoiseLevel = { alpha: 1, sigma: 0 };

/** Weights of what the next images are made of. */
export type DpmSolverWeight = 'xWeight' | 'x0Weight' | 'previousX0Weight' | 'noiseWeight';

/** The three noise levels that a step of two-step form has to do with. */
export interface LevelsOfStep {
  /** Where the step before began; nothing at the first step. */
  readonly previous: NoiseLevel | undefined;
  readonly from: NoiseLevel;
  readonly to: NoiseLevel;
}

/**
 * With λ = log(α / σ), h = λ′ − λ and D = x0 + (h / 2h₋) (x0 − x0₋), which extrapolates the predicted data to the middle
 * of the step:
 *
 *     x′ = (σ′/σ) e^(−ηh) x + α′ (1 − e^(−(1+η)h)) D + σ′ √(1 − e^(−2ηh)) noise
 *
 * At the ends λ is infinite, where the images are pure noise or are to become pure data: e^(−h) is 0 and the step is of
 * first order, as the first one is. The last step is then the predicted data itself.
 *
 * @param eta - η: 0 follows the ODE, 1 the SDE with the noise of the forward process
 */
export function dpmSolverWeights(
  { previous, from, to }: LevelsOfStep,
  eta: number,
): Record<DpmSolverWeight, number> {
  const shrinkage = Math.exp(-logRatioGain(from, to));
  const kept = shrinkage ** eta;
  const extrapolation = extrapolationOf({ previous, from, to });
  const dataWeight = to.alpha * (1 - shrinkage * kept);
  return {
    xWeight: (to.sigma / from.sigma) * kept,
    x0Weight: dataWeight * (1 + extrapolation),
    previousX0Weight: -dataWeight * extrapolation,
    noiseWeight: to.sigma * Math.sqrt(1 - kept ** 2),
  };
}

/** The weights of many steps as columns of a table. */
export function dpmSolverColumns(
  steps: readonly LevelsOfStep[],
  eta: number,
): Record<DpmSolverWeight, number[]> {
  const rows = steps.map((levels) => dpmSolverWeights(levels, eta));
  const column = (name: DpmSolverWeight) => rows.map((weights) => weights[name]);
  return {
    xWeight: column('xWeight'),
    x0Weight: column('x0Weight'),
    previousX0Weight: column('previousX0Weight'),
    noiseWeight: column('noiseWeight'),
  };
}

/** h. */
function logRatioGain(from: NoiseLevel, to: NoiseLevel): number {
  return Math.log(to.alpha / to.sigma) - Math.log(from.alpha / from.sigma);
}

/** h / 2h₋, or 0 where there is nothing to extrapolate from or to. */
function extrapolationOf({ previous, from, to }: LevelsOfStep): number {
  const gain = logRatioGain(from, to);
  if (previous === undefined || gain === Number.POSITIVE_INFINITY) return 0;
  return gain / (2 * logRatioGain(previous, from));
}

/** Adds an input for the data that the step before predicted. */
export const DPM_SOLVER_MEMORY = ['previousX0'] as const;

/**
 * @param x0 - the data predicted from `x`
 * @param noise - may be left out where η is 0
 */
export function dpmSolverStep(
  c: Coefficients<DpmSolverWeight>,
  x: Images,
  x0: Unlabelled,
  noise: Images | undefined,
): SamplerStep {
  const [name] = DPM_SOLVER_MEMORY;
  const previousX0 = input(name, x.shape);
  const mean = add(mul(c.xWeight, x), add(mul(c.x0Weight, x0), mul(c.previousX0Weight, previousX0)));
  return {
    x: noise === undefined ? mean : add(mean, mul(c.noiseWeight, noise)),
    x0,
    memory: { [name]: x0 },
  };
}
