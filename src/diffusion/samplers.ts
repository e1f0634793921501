/**
 * @file The samplers by name. A plan says which numbers each step is fed and builds the graph of one step; the same
 * graph serves every step, and every plan of the same sampler whatever its number of steps. Running it is not done here.
 */
import { ConfigError } from '../core/errors.ts';
import { eulerStep, heunStep } from './flow.ts';
import type { FlowObjective } from './flow-objective.ts';
import { planFlowDpmSolver, planOde } from './flow-plans.ts';
import type { GaussianObjective } from './gaussian-objective.ts';
import { planDdim, planDdpm, planGaussianDpmSolver } from './gaussian-plans.ts';
import type { SamplingOptions, SamplingPlan } from './sampling-plan.ts';

type Plan<O> = (objective: O, options: SamplingOptions) => SamplingPlan;

export interface Sampler {
  readonly accepts: readonly ('eta' | 'clip')[];
  /** The objectives that it draws from, each with its plan. */
  readonly gaussian?: Plan<GaussianObjective>;
  readonly flow?: Plan<FlowObjective>;
}

export type SamplerName = 'ddpm' | 'ddim' | 'euler' | 'heun' | 'dpm++2m' | 'dpm++2m-sde';

export const SAMPLERS: Readonly<Record<SamplerName, Sampler>> = {
  /** Ancestral sampling (Ho et al. 2020). */
  ddpm: { accepts: ['clip'], gaussian: planDdpm },
  /** Deterministic unless `eta` is above 0 (Song et al. 2021). */
  ddim: { accepts: ['eta', 'clip'], gaussian: planDdim },
  /** First order, one evaluation of the network per step. */
  euler: { accepts: [], flow: (objective, options) => planOde(objective, options, eulerStep, 1) },
  /** Second order, two evaluations of the network per step. */
  heun: { accepts: [], flow: (objective, options) => planOde(objective, options, heunStep, 2) },
  /** Second order, one evaluation of the network per step: remembers what it saw before (Lu et al. 2022). */
  'dpm++2m': {
    accepts: ['clip'],
    gaussian: (objective, options) => planGaussianDpmSolver(objective, 'dpm++2m', options),
    flow: (objective, options) => planFlowDpmSolver(objective, 'dpm++2m', options),
  },
  /** The same with new noise in every step, `eta` times as strong as the forward process adds it (1 by default). */
  'dpm++2m-sde': {
    accepts: ['eta', 'clip'],
    gaussian: (objective, options) => planGaussianDpmSolver(objective, 'dpm++2m-sde', withNoise(options)),
    flow: (objective, options) => planFlowDpmSolver(objective, 'dpm++2m-sde', withNoise(options)),
  },
};

function withNoise({ eta = 1, ...options }: SamplingOptions): SamplingOptions {
  return { ...options, eta };
}

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
    const accepting = namesOf(
      (other) => other.accepts.includes(option) && other[objective.kind] !== undefined,
    );
    throw new ConfigError({
      where: `sampler ${name}`,
      problem: `it has no option ${option} (given: ${options[option]})`,
      fix: `leave ${option} out, or use ${accepting}`,
    });
  }
  const plan =
    objective.kind === 'gaussian'
      ? sampler.gaussian?.(objective, options)
      : sampler.flow?.(objective, options);
  if (plan !== undefined) return plan;
  throw new ConfigError({
    where: `sampler ${name}`,
    problem: `it does not draw from a ${objective.kind} objective, which the model has`,
    fix: `use ${namesOf((other) => other[objective.kind] !== undefined)}`,
  });
}

function namesOf(accept: (sampler: Sampler) => boolean): string {
  const names = Object.entries(SAMPLERS)
    .filter(([, sampler]) => accept(sampler))
    .map(([name]) => name);
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}
