/** @file Plans of the samplers of flows: at which times they stop, and what each step is fed. */
import { ConfigError } from '../core/errors.ts';
import { scalar, type TensorMap } from '../core/host-tensor.ts';
import { input } from '../graph/operators.ts';
import { CoefficientTable } from './coefficients.ts';
import { DPM_SOLVER_MEMORY, type DpmSolverName, dpmSolverColumns, dpmSolverStep } from './dpm-solver.ts';
import { type eulerStep, predictData } from './flow.ts';
import type { FlowObjective } from './flow-objective.ts';
import { FLOW_PATHS } from './flow-path.ts';
import { expectShare, requireNoise, type SamplingOptions, type SamplingPlan } from './sampling-plan.ts';

/** From t = 0 to 1, straight along the velocity. */
export function planOde(
  objective: FlowObjective,
  options: SamplingOptions,
  step: typeof eulerStep,
  evaluationsPerStep: number,
): SamplingPlan {
  const times = flowTimes(options);
  const intervals = times.slice(0, -1).map(
    (time, i): TensorMap =>
      new Map([
        ['time', scalar('f32', time)],
        ['nextTime', scalar('f32', times[i + 1]!)],
      ]),
  );
  return {
    steps: intervals,
    nfe: evaluationsPerStep * intervals.length,
    usesNoise: false,
    memory: [],
    build: (denoise, x) =>
      step(objective.options, denoise, x, { time: input('time', []), nextTime: input('nextTime', []) }),
  };
}

/** DPM-Solver++ from t = 0 to 1. */
export function planFlowDpmSolver(
  { options }: FlowObjective,
  name: DpmSolverName,
  { eta = 0, ...spacing }: SamplingOptions,
): SamplingPlan {
  expectShare(eta, name);
  const times = flowTimes(spacing);
  const levels = times.map((time) => FLOW_PATHS[options.path].levelAt(time));
  const table = new CoefficientTable(
    dpmSolverColumns(
      levels.slice(0, -1).map((from, i) => ({ previous: levels[i - 1], from, to: levels[i + 1]! })),
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
      const x0 = predictData(options, denoise, x, input('time', []));
      return dpmSolverStep(c, x, x0, eta > 0 ? requireNoise(noise, name) : undefined);
    },
  };
}

/**
 * The times at which steps begin and end, from 0 to 1: u / (u + shift (1 − u)) for evenly spaced u (Esser et al. 2024,
 * section 5.3.2). It moves λ = log(t / (1 − t)) of all of them by −log shift.
 *
 * @throws ConfigError if there is no such number of steps, or no such shift
 */
export function flowTimes({ steps, shift = 1 }: SamplingOptions): number[] {
  if (typeof steps !== 'number' || !Number.isInteger(steps) || steps < 1) {
    throw new ConfigError({
      where: 'sampling a flow',
      problem: `steps is ${steps}: a positive integer is needed`,
      fix: 'use 50',
    });
  }
  if (!(shift > 0 && Number.isFinite(shift))) {
    throw new ConfigError({
      where: 'sampling a flow',
      problem: `shift is ${shift}: it must be above 0`,
      fix: 'use 1 for steps of equal time, 3 for more of them near the noise',
    });
  }
  return Array.from({ length: steps + 1 }, (_, i) => {
    const even = i / steps;
    return even / (even + shift * (1 - even));
  });
}
