import { expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { exactPrediction, type NormalData } from '../../../test/support/normal-data.ts';
import { hostTensor, scalar } from '../../core/host-tensor.ts';
import { normal, randomKey } from '../../core/random.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { add, input, mul, reshape, sin, sum } from '../../engine/graph/operators.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import type { Denoise } from '../denoise.ts';
import type { Slope } from '../solvers/ode-solver.ts';
import { samplingInterval } from './flow.ts';
import { dataLikelihood, type LikelihoodSolver, velocityAndDivergence } from './likelihood.ts';
import { flowObjective } from './objective.ts';

const SHAPE = [2, 1, 2, 3] as const;
const images = normal(randomKey(1), 12).map((value) => 0.3 + 0.5 * value);

function evaluationOf(
  objective: ReturnType<typeof flowObjective>,
  denoise: Denoise,
  probe: Float32Array,
): Slope {
  const graph = graphOf({
    ...velocityAndDivergence(objective, denoise, input('x', SHAPE), input('time', []), input('probe', SHAPE)),
  });
  return async ([x], time) => {
    const values = evaluate(
      graph,
      new Map([
        ['x', hostTensor('f32', SHAPE, x!)],
        ['time', scalar('f32', time)],
        ['probe', hostTensor('f32', SHAPE, probe)],
      ]),
    );
    return ['velocity', 'divergence'].map((name) => Float32Array.from(values.get(name)!.data));
  };
}

const signs = normal(randomKey(2), 12).map(Math.sign);

/** Of normal data the Jacobian is diagonal, of which one probe of signs gives the trace exactly. */
const data: NormalData = { mean: 0.3, deviation: 0.5 };

test.each([
  { path: 'linear', prediction: 'velocity', solver: { method: 'dopri5', atol: 1e-7, rtol: 1e-6 } },
  { path: 'gvp', prediction: 'velocity', solver: { method: 'dopri5', atol: 1e-7, rtol: 1e-6 } },
  { path: 'linear', prediction: 'velocity', solver: { method: 'rk4', steps: 40 } },
] as const)('of normal data on the $path path, by $solver.method', async ({ path, prediction, solver }) => {
  const objective = flowObjective({ path, prediction });
  const { logLikelihood, noise } = await dataLikelihood(
    evaluationOf(objective, exactPrediction(data, path, prediction), signs),
    images,
    2,
    samplingInterval(objective.options),
    solver as LikelihoodSolver,
  );
  const logDensity = (x: number): number =>
    -0.5 * ((x - data.mean) / data.deviation) ** 2 - Math.log(data.deviation * Math.sqrt(2 * Math.PI));
  const expected = [0, 1].map((n) =>
    images.subarray(6 * n, 6 * n + 6).reduce((total, x) => total + logDensity(x), 0),
  );
  expectClose(logLikelihood, expected, { relative: 1e-4 });
  expectClose(
    noise,
    images.map((x) => (x - data.mean) / data.deviation),
    { relative: 1e-4 },
  );
});

test('the divergence is that of differences along the probe', async () => {
  // Each element depends on all others of its image.
  const denoise: Denoise = (x, time) =>
    add(sin(mul(x, sum(x, [1, 2, 3], true))), reshape(time, [2, 1, 1, 1]));
  const evaluation = evaluationOf(flowObjective(), denoise, signs);
  const [, divergence] = await evaluation([images], 0.4);
  const h = 1e-3;
  const [ahead] = await evaluation([images.map((x, i) => x + h * signs[i]!)], 0.4);
  const [behind] = await evaluation([images.map((x, i) => x - h * signs[i]!)], 0.4);
  const expected = [0, 1].map((n) => {
    let total = 0;
    for (let i = 6 * n; i < 6 * n + 6; i++) total += (signs[i]! * (ahead![i]! - behind![i]!)) / (2 * h);
    return total;
  });
  expectClose(divergence!, expected, { relative: 2e-3 });
});

test('images that are not of one size', async () => {
  const denoise: Denoise = (x) => x;
  const evaluation = evaluationOf(flowObjective(), denoise, signs);
  await expect(
    dataLikelihood(evaluation, new Float32Array(5), 2, [0, 1], { method: 'euler', steps: 1 }),
  ).rejects.toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: ShapeError: dataLikelihood: 5 values are not 2 images of one size]`,
  );
});
