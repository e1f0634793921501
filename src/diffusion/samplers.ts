/**
 * @file The samplers by name. A plan says which numbers each step is fed and builds the graph of one step; the same
 * graph serves every step, and every plan of the same sampler whatever its number of steps. Running it is not done here.
 */
import { ConfigError } from '../core/errors.ts';
import { scalar, type TensorMap } from '../core/host-tensor.ts';
import { broadcastTo, input } from '../graph/operators.ts';
import type { Coefficients, CoefficientTable } from './coefficients.ts';
import type { Denoise, Images } from './denoise.ts';
import { eulerStep, heunStep } from './flow.ts';
import type { FlowObjective } from './flow-objective.ts';
import { type GaussianDiffusion, gaussianDiffusion, type Prediction, splitPrediction } from './gaussian.ts';
import type { GaussianObjective } from './gaussian-objective.ts';
import { ddimCoefficients, ddimStep, ddpmStep } from './gaussian-steps.ts';
import type { SamplerStep } from './sampler-step.ts';

export interface SamplingOptions {
  /**
   * Number of steps, spread evenly. For `ddpm` and `ddim` also a respacing such as `'ddim50'` or `'10,15,20'`, see
   * `spacedSteps`.
   */
  readonly steps: number | string;
  /** For `ddim`: share of new noise per step, from 0 (none, the default) to 1 (as much as `ddpm`). */
  readonly eta?: number;
  /** For `ddpm` and `ddim`: limit predicted images to [−1, 1] in each step. Default false; right for pixels only. */
  readonly clip?: boolean;
}

export interface SamplingPlan {
  /**
   * What each step is fed, from noise to data, beside images and noise. Always among it is `time`, a float32 scalar:
   * the step's time as the objective counts it, 999 … 0 or 0 … 1.
   */
  readonly steps: readonly TensorMap[];
  /** Evaluations of the network in all. */
  readonly nfe: number;
  /** Does each step need new standard normal noise of the images' shape? */
  readonly usesNoise: boolean;
  /**
   * The graph of one step. It adds an input for each name in `steps`.
   *
   * @param x - the images so far; standard normal noise at first
   * @param noise - needed if `usesNoise`, ignored otherwise
   */
  build(denoise: Denoise, x: Images, noise?: Images): SamplerStep;
}

type Plan<O> = (objective: O, options: SamplingOptions) => SamplingPlan;
type Sampler = { readonly accepts: readonly ('eta' | 'clip')[] } & (
  | { readonly objective: 'gaussian'; readonly plan: Plan<GaussianObjective> }
  | { readonly objective: 'flow'; readonly plan: Plan<FlowObjective> }
);

export type SamplerName = 'ddpm' | 'ddim' | 'euler' | 'heun';

export const SAMPLERS: Readonly<Record<SamplerName, Sampler>> = {
  /** Ancestral sampling (Ho et al. 2020). */
  ddpm: { objective: 'gaussian', accepts: ['clip'], plan: planDdpm },
  /** Deterministic unless `eta` is above 0 (Song et al. 2021). */
  ddim: { objective: 'gaussian', accepts: ['eta', 'clip'], plan: planDdim },
  /** First order, one evaluation of the network per step. */
  euler: { objective: 'flow', accepts: [], plan: planOde(eulerStep, 1) },
  /** Second order, two evaluations of the network per step. */
  heun: { objective: 'flow', accepts: [], plan: planOde(heunStep, 2) },
};

/**
 * Plans the way from noise to data.
 *
 * @throws ConfigError if the sampler is not for this objective, or an option not for this sampler
 */
export function planSampling(
  objective: GaussianObjective | FlowObjective,
  name: SamplerName,
  options: SamplingOptions,
): SamplingPlan {
  const sampler = SAMPLERS[name];
  for (const option of ['eta', 'clip'] as const) {
    if (options[option] === undefined || sampler.accepts.includes(option)) continue;
    const accepting = namesOf((other) => other.accepts.includes(option));
    throw new ConfigError({
      where: `sampler ${name}`,
      problem: `it has no option ${option} (given: ${options[option]})`,
      fix: `leave ${option} out, or use ${accepting}`,
    });
  }
  if (sampler.objective === 'gaussian' && objective.kind === 'gaussian')
    return sampler.plan(objective, options);
  if (sampler.objective === 'flow' && objective.kind === 'flow') return sampler.plan(objective, options);
  throw new ConfigError({
    where: `sampler ${name}`,
    problem: `it draws from a ${sampler.objective} objective, the model has a ${objective.kind} one`,
    fix: `use ${namesOf((other) => other.objective === objective.kind)}`,
  });
}

function namesOf(accept: (sampler: Sampler) => boolean): string {
  const fitting = Object.entries(SAMPLERS).filter(([, sampler]) => accept(sampler));
  return fitting.map(([name]) => name).join(' or ');
}

function planDdpm(objective: GaussianObjective, { steps, clip = false }: SamplingOptions): SamplingPlan {
  const diffusion = respaced(objective, steps);
  return planGaussian(diffusion, diffusion.coefficients, true, (c, prediction, x, noise) =>
    ddpmStep(diffusion, c, prediction, x, requireNoise(noise, 'ddpm'), { clip }),
  );
}

function planDdim(
  objective: GaussianObjective,
  { steps, eta = 0, clip = false }: SamplingOptions,
): SamplingPlan {
  if (!(eta >= 0 && eta <= 1)) {
    throw new ConfigError({
      where: 'sampler ddim',
      problem: `eta is ${eta}, outside 0 … 1`,
      fix: 'use 0 for no new noise, 1 for as much as ddpm',
    });
  }
  const diffusion = respaced(objective, steps);
  return planGaussian(
    diffusion,
    ddimCoefficients(diffusion.tables, eta),
    eta > 0,
    (c, prediction, x, noise) =>
      ddimStep(diffusion, c, prediction, x, eta > 0 ? requireNoise(noise, 'ddim') : undefined, { clip }),
  );
}

function respaced({ diffusion }: GaussianObjective, steps: number | string): GaussianDiffusion {
  return gaussianDiffusion({ ...diffusion.options, respacing: String(steps) });
}

function requireNoise(noise: Images | undefined, name: SamplerName): Images {
  if (noise !== undefined) return noise;
  throw new ConfigError({ where: `sampler ${name}`, problem: 'its steps need noise, none was given' });
}

function planGaussian<Name extends string>(
  diffusion: GaussianDiffusion,
  table: CoefficientTable<Name>,
  usesNoise: boolean,
  step: (c: Coefficients<Name>, prediction: Prediction, x: Images, noise: Images | undefined) => SamplerStep,
): SamplingPlan {
  const increasing = diffusion.networkSteps.map(
    (networkStep, i): TensorMap =>
      new Map([
        ['time', scalar('f32', networkStep)],
        ['coefficients', table.row(i)],
      ]),
  );
  return {
    steps: increasing.reverse(),
    nfe: increasing.length,
    usesNoise,
    build(denoise, x, noise) {
      const time = broadcastTo(input('time', []), [x.shape[0]!]);
      const c = table.ofRows(input('coefficients', [1, table.names.length]));
      return step(c, splitPrediction(diffusion, denoise(x, time), x), x, noise);
    },
  };
}

/** From t = 0 to 1 in equal steps. */
function planOde(step: typeof eulerStep, evaluationsPerStep: number): Plan<FlowObjective> {
  return (objective, { steps: count }) => {
    if (typeof count !== 'number' || !Number.isInteger(count) || count < 1) {
      throw new ConfigError({
        where: 'sampling a flow',
        problem: `steps is ${count}: a positive integer is needed`,
        fix: 'use 50',
      });
    }
    const intervals = Array.from(
      { length: count },
      (_, i): TensorMap =>
        new Map([
          ['time', scalar('f32', i / count)],
          ['nextTime', scalar('f32', (i + 1) / count)],
        ]),
    );
    return {
      steps: intervals,
      nfe: evaluationsPerStep * count,
      usesNoise: false,
      build: (denoise, x) =>
        step(objective.options, denoise, x, { time: input('time', []), nextTime: input('nextTime', []) }),
    };
  };
}
