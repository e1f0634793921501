/**
 * @file How likely data is under a flow: along its ODE the log-density changes by −div v dt (Chen et al. 2018), and at
 * the noise's end it is that of a standard normal. The divergence is estimated from one random sign vector ε as
 * ε · ∂v/∂x ε (Hutchinson 1990), which needs a vector–Jacobian product of the network.
 */
import { ShapeError } from '../../core/errors.ts';
import { mul, sum } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { gradients } from '../../engine/graph/vjp.ts';
import type { Denoise, Images } from '../denoise.ts';
import {
  type OdeState,
  type OdeTolerances,
  type Slope,
  solveAdaptively,
  solveInSteps,
} from '../solvers/ode-solver.ts';
import { FIXED_METHODS, type FixedMethodName } from '../solvers/runge-kutta.ts';
import { type Interval, predictAt } from './flow.ts';
import type { FlowObjective } from './objective.ts';
import { predictVelocity } from './prediction.ts';

export interface VelocityAndDivergence {
  /** [N, C, H, W]. */
  readonly velocity: Unlabelled;
  /** [N]. */
  readonly divergence: Unlabelled;
}

/**
 * The graph of one evaluation.
 *
 * @param time - float32 scalar
 * @param probe - signs ±1 like `x`
 */
export function velocityAndDivergence(
  { options }: FlowObjective,
  denoise: Denoise,
  x: Images,
  time: Tensor,
  probe: Tensor,
): VelocityAndDivergence {
  const velocity = predictVelocity(predictAt(options, denoise, x, time));
  const [product] = gradients(sum(mul(velocity, probe)), [x]);
  return { velocity, divergence: sum(mul(product!, probe), [1, 2, 3]) };
}

/** Along which steps the ODE is solved: so many of a method, or as many as dopri5 needs. */
export type LikelihoodSolver =
  | { readonly method: FixedMethodName; readonly steps: number }
  | ({ readonly method: 'dopri5' } & OdeTolerances);

export interface DataLikelihood {
  /** In nats, [N]. */
  readonly logLikelihood: Float32Array;
  /** The noise that the data comes from. */
  readonly noise: Float32Array;
}

/**
 * Carries data to the noise that it comes from and collects the log-density on the way. With steps chosen on the way
 * the divergence must be a function of x and time, so `evaluate` should use the same probe each time.
 *
 * @param evaluate - velocity and divergence; a {@link Slope} of `[x]` that gives both
 * @param data - of `count` images
 * @param interval - the times of noise and of data, see `samplingInterval`
 */
export async function dataLikelihood(
  evaluate: Slope,
  data: Float32Array,
  count: number,
  [noiseTime, dataTime]: Interval,
  solver: LikelihoodSolver,
): Promise<DataLikelihood> {
  if (data.length % count !== 0) {
    throw new ShapeError({
      where: 'dataLikelihood',
      problem: `${data.length} values are not ${count} images of one size`,
    });
  }
  const start: OdeState = [data, new Float32Array(count)];
  const states =
    solver.method === 'dopri5'
      ? await solveAdaptively(evaluate, start, [dataTime, noiseTime], solver)
      : await solveInSteps(
          FIXED_METHODS[solver.method],
          evaluate,
          start,
          Array.from(
            { length: solver.steps + 1 },
            (_, i) => dataTime + ((noiseTime - dataTime) * i) / solver.steps,
          ),
        );
  const [noise, gained] = states.at(-1) as readonly [Float32Array, Float32Array];
  const size = data.length / count;
  const logLikelihood = gained.map((change, n) => {
    let squares = 0;
    for (let i = n * size; i < (n + 1) * size; i++) squares += noise[i]! ** 2;
    return change - (size * Math.log(2 * Math.PI) + squares) / 2;
  });
  return { logLikelihood, noise };
}
