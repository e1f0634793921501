/**
 * @file Writes a loss as a graph, prints it with its gradient, and runs both.
 *
 *     npx tsx --tsconfig examples/tsconfig.json examples/print-gradient.ts
 */
import { tensorOf } from 'udit';
import {
  compileTraining,
  formatGraph,
  gelu,
  gradients,
  graphOf,
  input,
  linear,
  mean,
  parameter,
  square,
  sub,
} from 'udit/graph';
import { cpuBackend } from 'udit/node';

const x = input('x', [2, 3]);
const target = input('target', [2, 1]);
const weight = parameter('weight', [1, 3]);

const loss = mean(square(sub(gelu(linear(x, weight), 'none'), target)));
const [gradient] = gradients(loss, [weight]);
const graph = graphOf({ loss, gradient: gradient! });
console.log(formatGraph(graph));

const session = await compileTraining(graph, cpuBackend);
const values = await session.run(
  new Map([
    ['x', tensorOf('f32', [2, 3], [1, 0, -1, 0.5, 2, 1])],
    ['target', tensorOf('f32', [2, 1], [1, 0])],
    ['weight', tensorOf('f32', [1, 3], [0.1, 0.2, 0.3])],
  ]),
);
await session.release();
for (const [name, { data }] of values) console.log(name, Array.from(data, Number));
