/**
 * @file The samplers by name. A plan says which numbers each step is fed and builds the graph of one step; the same
 * graph serves every step, and every plan of the same sampler whatever its number of steps. Running it is not done here.
 */
import { ConfigError } from '../core/errors.ts';
import type { FlowObjective } from './flow/objective.ts';
import { planAdaptiveOde, planFlowDpmSolver, planOde, planSde } from './flow/plans.ts';
import type { SdeMethod } from './flow/sde.ts';
import type { GaussianObjective } from './gaussian/objective.ts';
import { planDdim, planDdpm, planGaussianDpmSolver } from './gaussian/plans.ts';
import type { AdaptivePlan, SamplingOptions, SamplingPlan } from './sampling-plan.ts';
import type { FixedMethodName } from './solvers/runge-kutta.ts';

/** A sampler as it draws from one objective. */
type SamplerOf<O> = {
  /** The options that it has beside `steps`. */
  readonly accepts: readonly SamplerOption[];
} & (
  | { plan(objective: O, options: SamplingOptions): SamplingPlan }
  | { planAdaptive(objective: O, options: SamplingOptions): AdaptivePlan }
);

const OPTIONS = [
  'eta',
  'clip',
  'shift',
  'atol',
  'rtol',
  'diffusionForm',
  'diffusionNorm',
  'lastStep',
  'lastStepSize',
] as const;
export type SamplerOption = (typeof OPTIONS)[number];

/** By the objectives that it draws from. */
export interface Sampler {
  /** Steps unless asked for; absent where it chooses them on the way. */
  readonly steps?: number;
  readonly gaussian?: SamplerOf<GaussianObjective>;
  readonly flow?: SamplerOf<FlowObjective>;
}

export type SamplerName =
  | 'ddpm'
  | 'ddim'
  | FixedMethodName
  | 'dopri5'
  | SdeMethod
  | 'dpm++2m'
  | 'dpm++2m-sde';

export const SAMPLERS: Readonly<Record<SamplerName, Sampler>> = {
  /** Ancestral sampling (Ho et al. 2020). */
  ddpm: { steps: 250, gaussian: { accepts: ['clip'], plan: planDdpm } },
  /** Deterministic unless `eta` is above 0 (Song et al. 2021). */
  ddim: { steps: 50, gaussian: { accepts: ['eta', 'clip'], plan: planDdim } },
  /** First order, one evaluation of the network per step. */
  euler: ode('euler', 25),
  /** Second order, two evaluations of the network per step. */
  midpoint: ode('midpoint', 12),
  /** Second order, two evaluations; `heun2` in the reference. */
  heun: ode('heun', 12),
  /** Third order, three evaluations. */
  heun3: ode('heun3', 8),
  /** Fourth order, four evaluations. */
  rk4: ode('rk4', 6),
  /** Fifth order, in as many steps of six evaluations as its tolerances ask for: the reference's default. */
  dopri5: { flow: { accepts: ['atol', 'rtol'], planAdaptive: planAdaptiveOde } },
  /** Euler–Maruyama: new noise in every step, one evaluation. */
  'sde-euler': sde('sde-euler', 250),
  /** Heun with new noise in every step, two evaluations. */
  'sde-heun': sde('sde-heun', 125),
  /** Second order, one evaluation of the network per step: remembers what it saw before (Lu et al. 2022). */
  'dpm++2m': {
    steps: 16,
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
    steps: 16,
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

function ode(method: FixedMethodName, steps: number): Sampler {
  return {
    steps,
    flow: { accepts: ['shift'], plan: (objective, options) => planOde(objective, method, options) },
  };
}

function sde(method: SdeMethod, steps: number): Sampler {
  return {
    steps,
    flow: {
      accepts: ['diffusionForm', 'diffusionNorm', 'lastStep', 'lastStepSize'],
      plan: (objective, options) => planSde(objective, method, options),
    },
  };
}

function withNoise({ eta = 1, ...options }: SamplingOptions): SamplingOptions {
  return { ...options, eta };
}

/**
 * Plans the way from noise to data in steps that are known beforehand.
 *
 * @throws ConfigError if the sampler is not for this objective, an option not for this sampler, or steps are chosen on
 * the way
 */
export function planSampling(
  objective: GaussianObjective | FlowObjective,
  name: SamplerName,
  options: SamplingOptions,
): SamplingPlan {
  const plan = planAnySampling(objective, name, options);
  if ('steps' in plan) return plan;
  throw new ConfigError({
    where: `sampler ${name}`,
    problem: 'its steps are adaptive, but here they must be known beforehand',
    fix: `use ${namesOf((other) => 'plan' in (other[objective.kind] ?? {}))}`,
  });
}

/**
 * Plans the way from noise to data, also of a sampler that chooses its steps on the way.
 *
 * @throws ConfigError if the sampler is not for this objective, or an option not for this sampler
 */
export function planAnySampling(
  objective: GaussianObjective | FlowObjective,
  name: SamplerName,
  options: SamplingOptions,
): SamplingPlan | AdaptivePlan {
  const plan =
    objective.kind === 'gaussian'
      ? planWith(name, SAMPLERS[name].gaussian, objective, options)
      : planWith(name, SAMPLERS[name].flow, objective, options);
  if (plan !== undefined) return plan;
  throw new ConfigError({
    where: `sampler ${name}`,
    problem: `the model has a ${objective.kind} objective, which this sampler does not support`,
    fix: `use ${namesOf((other) => other[objective.kind] !== undefined)}`,
  });
}

function planWith<O extends GaussianObjective | FlowObjective>(
  name: SamplerName,
  sampler: SamplerOf<O> | undefined,
  objective: O,
  options: SamplingOptions,
): SamplingPlan | AdaptivePlan | undefined {
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
  if ('plan' in sampler) return sampler.plan(objective, options);
  if (options.steps === undefined) return sampler.planAdaptive(objective, options);
  throw new ConfigError({
    where: `sampler ${name}`,
    problem: `its steps are adaptive, so their number cannot be given (given: steps ${options.steps})`,
    fix: 'leave the steps out; smaller tolerances give more steps',
  });
}

function namesOf(accept: (sampler: Sampler) => boolean): string {
  const names = Object.entries(SAMPLERS)
    .filter(([, sampler]) => accept(sampler))
    .map(([name]) => name);
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}
