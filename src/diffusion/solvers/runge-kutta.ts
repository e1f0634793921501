/**
 * @file Explicit Runge–Kutta methods as tableaux, and their step as a graph. The methods are those of torchdiffeq, which
 * the reference solves its ODE with; its `rk4` is the 3/8 rule.
 */
import { add, mul, sub } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import type { Images } from '../denoise.ts';

/** Stage i asks for the slope at `nodes[i]` of the step, from what `stages[i]` makes of the slopes before it. */
export interface Tableau {
  readonly nodes: readonly number[];
  readonly stages: readonly (readonly number[])[];
  readonly weights: readonly number[];
}

export type FixedMethodName = 'euler' | 'midpoint' | 'heun' | 'heun3' | 'rk4';

export const FIXED_METHODS: Readonly<Record<FixedMethodName, Tableau>> = {
  euler: { nodes: [0], stages: [[]], weights: [1] },
  midpoint: { nodes: [0, 1 / 2], stages: [[], [1 / 2]], weights: [0, 1] },
  heun: { nodes: [0, 1], stages: [[], [1]], weights: [1 / 2, 1 / 2] },
  heun3: { nodes: [0, 1 / 3, 2 / 3], stages: [[], [1 / 3], [0, 2 / 3]], weights: [1 / 4, 0, 3 / 4] },
  rk4: {
    nodes: [0, 1 / 3, 2 / 3, 1],
    stages: [[], [1 / 3], [-1 / 3, 1], [1, -1, 1]],
    weights: [1 / 8, 3 / 8, 3 / 8, 1 / 8],
  },
};

/** Times at which a step begins and ends: float32 scalars. */
export interface TimeStep {
  readonly time: Tensor;
  readonly nextTime: Tensor;
}

/** x after a step along `slope`, in the graph. */
export function rungeKuttaStep(
  { nodes, stages, weights }: Tableau,
  slope: (x: Images, time: Tensor) => Unlabelled,
  x: Images,
  { time, nextTime }: TimeStep,
): Unlabelled {
  const duration = sub(nextTime, time);
  const slopes: Unlabelled[] = [];
  for (const [i, node] of nodes.entries()) {
    const at = node === 0 ? time : node === 1 ? nextTime : add(time, mul(duration, node));
    slopes.push(slope(along(x, duration, stages[i]!, slopes), at));
  }
  return along(x, duration, weights, slopes) as Unlabelled;
}

/** x + duration Σ weight slope. */
function along(
  x: Images,
  duration: Tensor,
  weights: readonly number[],
  slopes: readonly Unlabelled[],
): Images {
  const terms = slopes.flatMap((slope, i) => {
    const weight = weights[i] ?? 0;
    if (weight === 0) return [];
    return [weight === 1 ? slope : mul(slope, weight)];
  });
  return terms.length === 0
    ? x
    : add(
        x,
        mul(
          duration,
          terms.reduce((sum, term) => add(sum, term)),
        ),
      );
}
