/** @file Plans of the samplers of Gaussian diffusion: which steps are taken, and what each is fed. */
import { ConfigError } from '../../core/errors.ts';
import { scalar, type TensorMap } from '../../core/host-tensor.ts';
import { broadcastTo, input } from '../../engine/graph/operators.ts';
import { type Coefficients, CoefficientTable } from '../coefficients.ts';
import type { Images } from '../denoise.ts';
import {
  expectShare,
  requireNoise,
  type SamplerStep,
  type SamplingOptions,
  type SamplingPlan,
} from '../sampling-plan.ts';
import {
  DPM_SOLVER_MEMORY,
  type DpmSolverName,
  dpmSolverColumns,
  dpmSolverStep,
  type NoiseLevel,
  PURE_DATA,
} from '../solvers/dpm-solver.ts';
import { beginsTooLate, expectStrength } from '../strength.ts';
import {
  type GaussianDiffusion,
  gaussianDiffusion,
  type Prediction,
  predictX0,
  splitPrediction,
} from './gaussian.ts';
import type { GaussianObjective } from './objective.ts';
import { ddimCoefficients, ddimStep, ddpmStep } from './steps.ts';

export function planDdpm(
  objective: GaussianObjective,
  { clip = false, ...spacing }: SamplingOptions,
): SamplingPlan {
  const diffusion = respaced('ddpm', objective, spacing);
  return planSteps(diffusion, {
    table: diffusion.coefficients,
    usesNoise: true,
    step: (c, prediction, x, noise) =>
      ddpmStep(diffusion, c, prediction, x, requireNoise(noise, 'ddpm'), { clip }),
  });
}

export function planDdim(
  objective: GaussianObjective,
  { eta = 0, clip = false, ...spacing }: SamplingOptions,
): SamplingPlan {
  expectShare(eta, 'ddim');
  const diffusion = respaced('ddim', objective, spacing);
  return planSteps(diffusion, {
    table: ddimCoefficients(diffusion.tables, eta),
    usesNoise: eta > 0,
    step: (c, prediction, x, noise) =>
      ddimStep(diffusion, c, prediction, x, eta > 0 ? requireNoise(noise, 'ddim') : undefined, { clip }),
  });
}

/**
 * DPM-Solver++ at the steps that DDIM would take; in the last one it arrives at the predicted image, as DDIM does. A
 * single step is the noisiest one.
 */
export function planGaussianDpmSolver(
  objective: GaussianObjective,
  name: DpmSolverName,
  { eta = 0, clip = false, ...spacing }: SamplingOptions,
): SamplingPlan {
  expectShare(eta, name);
  const { options } = objective.diffusion;
  const isSingle = Number(spacing.steps) === 1;
  const diffusion = isSingle
    ? begunAt(gaussianDiffusion(options, [options.steps - 1]), spacing)
    : respaced(name, objective, spacing);
  const { alphaBars, sqrtReciprocalAlphaBars, sqrtReciprocalMinusOneAlphaBars } = diffusion.tables;
  const levels = Array.from(
    alphaBars,
    (alphaBar): NoiseLevel => ({ alpha: Math.sqrt(alphaBar), sigma: Math.sqrt(1 - alphaBar) }),
  );
  const table = new CoefficientTable({
    sqrtReciprocalAlphaBar: sqrtReciprocalAlphaBars,
    sqrtReciprocalMinusOneAlphaBar: sqrtReciprocalMinusOneAlphaBars,
    ...dpmSolverColumns(
      levels.map((from, t) => ({ previous: levels[t + 1], from, to: levels[t - 1] ?? PURE_DATA })),
      eta,
    ),
  });
  return planSteps(diffusion, {
    table,
    usesNoise: eta > 0,
    memory: DPM_SOLVER_MEMORY,
    step: (c, prediction, x, noise) => {
      const x0 = predictX0(diffusion, c, prediction, x, { clip });
      return dpmSolverStep(c, x, x0, eta > 0 ? requireNoise(noise, name) : undefined);
    },
  });
}

/**
 * @throws ConfigError if all that is kept is the least noisy step, as the reference keeps of one: its images have hardly
 * any noise, and drawing begins with noise alone
 */
function respaced(
  sampler: string,
  { diffusion }: GaussianObjective,
  { steps, ...spacing }: SamplingOptions,
): GaussianDiffusion {
  if (steps === undefined) {
    throw new ConfigError({
      where: 'sampling Gaussian diffusion',
      problem: 'no number of steps is given',
      fix: 'use 250',
    });
  }
  const kept = gaussianDiffusion({ ...diffusion.options, respacing: String(steps) });
  if (kept.networkSteps.at(-1) !== 0 || diffusion.options.steps === 1) return begunAt(kept, spacing);
  throw new ConfigError({
    where: `sampler ${sampler}`,
    problem: `"${steps}" keeps step 0 of ${diffusion.options.steps} alone, which sees images with hardly any noise`,
    fix: 'use 2 steps or more, or 1 step of dpm++2m, which begins at pure noise',
  });
}

/** Without the steps that begin noisier than the strength says. Step 0 alone would change hardly anything. */
function begunAt(
  diffusion: GaussianDiffusion,
  { strength = 1 }: Pick<SamplingOptions, 'strength'>,
): GaussianDiffusion {
  expectStrength(strength);
  if (strength === 1) return diffusion;
  const { options, networkSteps } = diffusion;
  const noisiest = options.steps - 1;
  const kept = networkSteps.filter((step) => step <= strength * noisiest);
  const last = networkSteps.find((step) => step > 0);
  if ((kept.at(-1) ?? 0) > 0 || last === undefined) return gaussianDiffusion(options, kept);
  throw beginsTooLate(strength, networkSteps.length, last / noisiest);
}

interface PlannedSteps<Name extends string> {
  /** A row for each step of the diffusion. */
  readonly table: CoefficientTable<Name>;
  readonly usesNoise: boolean;
  readonly memory?: readonly string[];
  step(c: Coefficients<Name>, prediction: Prediction, x: Images, noise: Images | undefined): SamplerStep;
}

function planSteps<Name extends string>(
  diffusion: GaussianDiffusion,
  { table, usesNoise, memory = [], step }: PlannedSteps<Name>,
): SamplingPlan {
  const increasing = diffusion.networkSteps.map(
    (networkStep, t): TensorMap =>
      new Map([
        ['time', scalar('f32', networkStep)],
        ['coefficients', table.row(t)],
      ]),
  );
  return {
    steps: increasing.reverse(),
    nfe: increasing.length,
    usesNoise,
    memory,
    build(denoise, x, noise) {
      const time = broadcastTo(input('time', []), [x.shape[0]!]);
      const c = table.ofRows(input('coefficients', [1, table.names.length]));
      return step(c, splitPrediction(diffusion, denoise(x, time), x), x, noise);
    },
  };
}
