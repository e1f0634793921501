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

/** A sampler as it draws from one objective. */
interface SamplerOf<O> {
  /** The options that it has beside `steps`. */
  readonly accepts: readonly SamplerOption[];
  plan(objective: O, options: SamplingOptions): SamplingPlan;
}

const OPTIONS = ['eta', 'clip', 'shift'] as const;
export type SamplerOption = (typeof OPTIONS)[number];

/** By the objectives that it draws from. */
export interface Sampler {
  readonly gaussian?: SamplerOf<GaussianObjective>;
  readonly flow?: SamplerOf<FlowObjective>;
}

export type SamplerName = 'ddpm' | 'ddim' | 'euler' | 'heun' | 'dpm++2m' | 'dpm++2m-sde';

export const SAMPLERS: Readonly<Record<SamplerName, Sampler>> = {
  /** Ancestral sampling (Ho et al. 2020). */
  ddpm: { gaussian: { accepts: ['clip'], plan: planDdpm } },
  /** Deterministic unless `eta` is above 0 (Song et al. 2021). */
  ddim: { gaussian: { accepts: ['eta', 'clip'], plan: planDdim } },
  /** First order, one evaluation of the network per step. */
  euler: {
    flow: {
      accepts: ['shift'],
      plan: (objective, options) => planOde(objective, options, eulerStep, 1),
    },
  },
  /** Second order, two evaluations of the network per step. */
  heun: {
    flow: {
      accepts: ['shift'],
      plan: (objective, options) => planOde(objective, options, heunStep, 2),
    },
  },
  /** Second order, one evaluation of the network per step: remembers what it saw before (Lu et al. 2022). */
  'dpm++2m': {
    gaussian: {
      accepts: ['clip'],
      plan: (objective, options) => planGaussianDpmSolver(objective, 'dpm++2m', options),
    },
    flow: {
      accepts: ['shift'],
      plan: (objective, options) => planFlowDpmSolver(objective, 'dpm++2m', options),
    },
  },
  /** The same with new noise in every step, `eta` times as strong as the forward process adds it (1 by default). */
  'dpm++2m-sde': {
    gaussian: {
      accepts: ['eta', 'clip'],
      plan: (objective, options) => planGaussianDpmSolver(objective, 'dpm++2m-sde', withNoise(options)),
    },
    flow: {
      accepts: ['eta', 'shift'],
      plan: (objective, options) => planFlowDpmSolver(objective, 'dpm++2m-sde', withNoise(options)),
    },
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
  const plan =
    objective.kind === 'gaussian'
      ? planFrom(name, SAMPLERS[name].gaussian, objective, options)
      : planFrom(name, SAMPLERS[name].flow, objective, options);
  if (plan !== undefined) return plan;
  throw new ConfigError({
    where: `sampler ${name}`,
    problem: `it does not draw from a ${objective.kind} objective, which the model has`,
    fix: `use ${namesOf((other) => other[objective.kind] !== undefined)}`,
  });
}

function planFrom<O extends GaussianObjective | FlowObjective>(
  name: SamplerName,
  sampler: SamplerOf<O> | undefined,
  objective: O,
  options: SamplingOptions,
): SamplingPlan | undefined {
  if (sampler === undefined) return undefined;
  for (const option of OPTIONS) {
    if (options[option] === undefined || sampler.accepts.includes(option)) continue;
    const accepting = namesOf((other) => other[objective.kind]?.accepts.includes(option) === true);
    throw new ConfigError({
      where: `sampler ${name}`,
      problem: `it has no option ${option} (given: ${options[option]})`,
      fix: `leave ${option} out${accepting === '' ? '' : `, or use ${accepting}`}`,
    });
  }
  return sampler.plan(objective, options);
}

function namesOf(accept: (sampler: Sampler) => boolean): string {
  const names = Object.entries(SAMPLERS)
    .filter(([, sampler]) => accept(sampler))
    .map(([name]) => name);
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}
