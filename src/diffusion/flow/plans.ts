/** @file Plans of the samplers of flows: at which times they stop, and what each step is fed. */
import { ConfigError } from '../../core/errors.ts';
import { type HostTensor, scalar, type TensorMap } from '../../core/host-tensor.ts';
import { input } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { CoefficientTable } from '../coefficients.ts';
import type { Images } from '../denoise.ts';
import {
  type AdaptivePlan,
  expectShare,
  requireNoise,
  type SamplingOptions,
  type SamplingPlan,
} from '../sampling-plan.ts';
import {
  DPM_SOLVER_MEMORY,
  type DpmSolverName,
  dpmSolverColumns,
  dpmSolverStep,
} from '../solvers/dpm-solver.ts';
import { type OdeTolerances, REFERENCE_TOLERANCES } from '../solvers/ode-solver.ts';
import { FIXED_METHODS, type FixedMethodName, rungeKuttaStep } from '../solvers/runge-kutta.ts';
import { beginsTooLate, expectStrength } from '../strength.ts';
import { type Interval, predictAt, samplingInterval } from './flow.ts';
import type { FlowObjective } from './objective.ts';
import { FLOW_PATHS, levelAt } from './path.ts';
import { type FlowPrediction, predictData, predictVelocity } from './prediction.ts';
import {
  DIFFUSION_FORMS,
  lastStepWeights,
  type SdeMethod,
  type SdeWeight,
  sdeStep,
  sdeWeights,
} from './sde.ts';

/** Straight along the velocity from noise to data. */
export function planOde(
  { options }: FlowObjective,
  method: FixedMethodName,
  spacing: SamplingOptions,
): SamplingPlan {
  const times = flowTimes(spacing, samplingInterval(options));
  const tableau = FIXED_METHODS[method];
  return {
    steps: intervalsOf(times).map((interval) => new Map(Object.entries(interval))),
    nfe: tableau.nodes.length * (times.length - 1),
    usesNoise: false,
    memory: [],
    build(denoise, x) {
      const [time, nextTime] = [input('time', []), input('nextTime', [])];
      const predictions: FlowPrediction[] = [];
      const velocity = (state: Images, at: Tensor): Unlabelled => {
        const prediction = predictAt(options, denoise, state, at);
        predictions.push(prediction);
        return predictVelocity(prediction);
      };
      const next = rungeKuttaStep(tableau, velocity, x, { time, nextTime });
      return { x: next, x0: predictData(predictions[0]!) };
    },
  };
}

/** Along the velocity too, in steps that are chosen on the way. */
export function planAdaptiveOde(
  { options }: FlowObjective,
  { strength = 1, ...given }: Partial<OdeTolerances> & Pick<SamplingOptions, 'strength'>,
): AdaptivePlan {
  expectStrength(strength);
  const tolerances = {
    atol: given.atol ?? REFERENCE_TOLERANCES.atol,
    rtol: given.rtol ?? REFERENCE_TOLERANCES.rtol,
  };
  for (const [name, value] of Object.entries(tolerances)) {
    if (value > 0 && Number.isFinite(value)) continue;
    throw new ConfigError({
      where: 'sampler dopri5',
      problem: `${name} is ${value}: it must be above 0`,
      fix: `use ${REFERENCE_TOLERANCES[name as keyof OdeTolerances]}`,
    });
  }
  const [from, to] = samplingInterval(options);
  return {
    interval: [Math.max(from, 1 - strength), to],
    tolerances,
    build(denoise, x) {
      const prediction = predictAt(options, denoise, x, input('time', []));
      return { slope: predictVelocity(prediction), x0: predictData(prediction) };
    },
  };
}

/** The reference's. */
const SDE_DEFAULTS = {
  diffusionForm: 'sigma',
  diffusionNorm: 1,
  lastStep: 'mean',
  lastStepSize: 0.04,
} as const;

/**
 * The SDE from noise to data; the last of the steps is the one that `lastStep` says, unless that is `none`. Where the
 * reference gives no numbers, a form that is infinite at the noise begins 0.001 later.
 */
export function planSde({ options }: FlowObjective, method: SdeMethod, given: SamplingOptions): SamplingPlan {
  const { steps, strength, lastStep, lastStepSize, diffusionForm, diffusionNorm } = sdeSettings(given);
  const path = FLOW_PATHS[options.path];
  // Heun's last step ends where the score is asked for.
  const divides = diffusionForm === 'sbdm' || (method === 'sde-heun' && lastStep === 'none');
  const [from, end] = samplingInterval(options, { divides });
  const to = lastStep === 'none' ? end : 1 - lastStepSize;
  const diffusionAt = (t: number): number => DIFFUSION_FORMS[diffusionForm](diffusionNorm, path, t);
  const count = expectSteps(steps, lastStep === 'none' ? 1 : 2);
  const times = flowTimes({ steps: lastStep === 'none' ? count : count - 1, strength }, [from, to]);
  const rows = times.slice(0, -1).map((time, i) => sdeWeights(method, diffusionAt, time, times[i + 1]!));
  if (lastStep !== 'none') {
    rows.push(lastStepWeights(lastStep, path, diffusionAt(to), to, lastStepSize));
    times.push(to); // a step that Heun does not take
  }
  const names = Object.keys(rows[0]!) as SdeWeight[];
  const table = new CoefficientTable(
    Object.fromEntries(names.map((name) => [name, rows.map((row) => row[name])])) as Record<
      SdeWeight,
      number[]
    >,
  );
  return {
    steps: intervalsOf(times).map(({ time, nextTime }, i) => {
      const fed = { time, weights: table.row(i), ...(method === 'sde-heun' ? { nextTime } : {}) };
      return new Map(Object.entries(fed));
    }),
    nfe: rows.length * (method === 'sde-heun' ? 2 : 1),
    usesNoise: true,
    memory: [],
    build: (denoise, x, noise) =>
      sdeStep(method, (state, at) => predictAt(options, denoise, state, at), x, requireNoise(noise, method), {
        time: input('time', []),
        nextTime: input('nextTime', []),
        weights: table.ofRows(input('weights', [1, table.names.length])),
      }),
  };
}

function sdeSettings(given: SamplingOptions) {
  const settings = {
    ...given,
    diffusionForm: given.diffusionForm ?? SDE_DEFAULTS.diffusionForm,
    diffusionNorm: given.diffusionNorm ?? SDE_DEFAULTS.diffusionNorm,
    lastStep: given.lastStep ?? SDE_DEFAULTS.lastStep,
    lastStepSize: given.lastStepSize ?? SDE_DEFAULTS.lastStepSize,
    strength: given.strength ?? 1,
  };
  const { diffusionNorm, lastStepSize } = settings;
  if (!(diffusionNorm >= 0 && Number.isFinite(diffusionNorm))) {
    throw new ConfigError({
      where: 'sampling an SDE',
      problem: `the diffusion norm is ${diffusionNorm}: it must be 0 or more`,
      fix: 'use 1; 0 follows the ODE',
    });
  }
  if (!(lastStepSize > 0 && lastStepSize < 1)) {
    throw new ConfigError({
      where: 'sampling an SDE',
      problem: `the size of the last step is ${lastStepSize}: it must be above 0 and below 1`,
      fix: `use ${SDE_DEFAULTS.lastStepSize}, or last step none`,
    });
  }
  return settings;
}

/** DPM-Solver++ from noise to t = 1, where it arrives at the predicted data. */
export function planFlowDpmSolver(
  { options }: FlowObjective,
  name: DpmSolverName,
  { eta = 0, ...spacing }: SamplingOptions,
): SamplingPlan {
  expectShare(eta, name);
  const [from] = samplingInterval(options);
  const times = flowTimes(spacing, [from, 1]);
  const levels = times.map((time) => levelAt(FLOW_PATHS[options.path], time));
  const table = new CoefficientTable(
    dpmSolverColumns(
      levels.slice(0, -1).map((level, i) => ({ previous: levels[i - 1], from: level, to: levels[i + 1]! })),
      eta,
    ),
  );
  return {
    steps: times.slice(0, -1).map(
      (time, i): TensorMap =>
        new Map([
          ['time', scalar('f32', time)],
          ['coefficients', table.row(i)],
        ]),
    ),
    nfe: times.length - 1,
    usesNoise: eta > 0,
    memory: DPM_SOLVER_MEMORY,
    build(denoise, x, noise) {
      const c = table.ofRows(input('coefficients', [1, table.names.length]));
      const x0 = predictData(predictAt(options, denoise, x, input('time', [])));
      return dpmSolverStep(c, x, x0, eta > 0 ? requireNoise(noise, name) : undefined);
    },
  };
}

/** From each of the times to the next. */
function intervalsOf(times: readonly number[]): Record<'time' | 'nextTime', HostTensor>[] {
  return times.slice(0, -1).map((time, i) => ({
    time: scalar('f32', time),
    nextTime: scalar('f32', times[i + 1]!),
  }));
}

/**
 * The times at which steps begin and end: shares u / (u + shift (1 − u)) of the interval for evenly spaced u (Esser et
 * al. 2024, section 5.3.2). From 0 to 1 it moves λ = log(t / (1 − t)) of all of them by −log shift. Of these times, those
 * that are no noisier than the strength says.
 *
 * @throws ConfigError if there is no such number of steps, no such shift, or no step that begins so late
 */
function flowTimes(
  { steps, shift = 1, strength = 1 }: SamplingOptions,
  [from, to]: Interval = [0, 1],
): number[] {
  const count = expectSteps(steps, 1);
  expectStrength(strength);
  if (!(shift > 0 && Number.isFinite(shift))) {
    throw new ConfigError({
      where: 'sampling a flow',
      problem: `shift is ${shift}: it must be above 0`,
      fix: 'use 1 for steps of equal time, 3 for more of them near the noise',
    });
  }
  const times = Array.from({ length: count + 1 }, (_, i) => {
    const even = i / count;
    const share = even / (even + shift * (1 - even));
    return i === count ? to : from + share * (to - from);
  });
  const first = Math.fround(1 - strength); // as times are
  const taken = times.filter((time) => Math.fround(time) >= first);
  if (taken.length < 2) throw beginsTooLate(strength, count, 1 - times[count - 1]!);
  return taken;
}

/** The plan of a step is kept in memory, and no image needs that many. */
const MOST_STEPS = 100_000;

function expectSteps(steps: SamplingOptions['steps'], least: 1 | 2): number {
  if (typeof steps === 'number' && Number.isInteger(steps) && steps >= least && steps <= MOST_STEPS) {
    return steps;
  }
  throw new ConfigError({
    where: 'sampling a flow',
    problem:
      Number(steps) > MOST_STEPS
        ? `steps is ${steps}: at most ${MOST_STEPS} are planned`
        : least === 1
          ? `steps is ${steps}: a positive integer is needed`
          : `steps is ${steps}: an integer from 2 is needed, the last step included`,
    fix: 'give a whole number of steps, such as 16',
  });
}
