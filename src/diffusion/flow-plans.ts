/** @file Plans of the samplers of flows: at which times they stop, and what each step is fed. */
import { ConfigError } from '../core/errors.ts';
import { scalar, type TensorMap } from '../core/host-tensor.ts';
import { clamp, input } from '../graph/operators.ts';
import { CoefficientTable } from './coefficients.ts';
import { DPM_SOLVER_MEMORY, type DpmSolverName, dpmSolverColumns, dpmSolverStep } from './dpm-solver.ts';
import { type eulerStep, predictData } from './flow.ts';
import type { FlowObjective } from './flow-objective.ts';
import { FLOW_PATHS } from './flow-path.ts';
import { expectShare, requireNoise, type SamplingOptions, type SamplingPlan } from './sampling-plan.ts';

/** From t = 0 to 1 in equal steps. */
export function planOde(
  objective: FlowObjective,
  { steps }: SamplingOptions,
  step: typeof eulerStep,
  evaluationsPerStep: number,
): SamplingPlan {
  const times = evenTimes(steps);
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

/** DPM-Solver++ from t = 0 to 1 in equal steps. */
export function planFlowDpmSolver(
  { options }: FlowObjective,
  name: DpmSolverName,
  { steps, eta = 0, clip = false }: SamplingOptions,
): SamplingPlan {
  expectShare(eta, name);
  const times = evenTimes(steps);
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
      return dpmSolverStep(
        c,
        x,
        clip ? clamp(x0, -1, 1) : x0,
        eta > 0 ? requireNoise(noise, name) : undefined,
      );
    },
  };
}

/** 0 … 1, one more than there are steps. */
function evenTimes(steps: number | string): number[] {
  if (typeof steps !== 'number' || !Number.isInteger(steps) || steps < 1) {
    throw new ConfigError({
      where: 'sampling a flow',
      problem: `steps is ${steps}: a positive integer is needed`,
      fix: 'use 50',
    });
  }
  return Array.from({ length: steps + 1 }, (_, i) => i / steps);
}
