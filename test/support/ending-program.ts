/**
 * @file A program that ends without releasing its session, for tests: `idle` when its run is done, `busy` or `failing`
 * in the middle of it.
 */

import { tensorOf } from '../../src/core/host-tensor.ts';
import { compileTraining } from '../../src/engine/compile/training.ts';
import { graphOf } from '../../src/engine/graph/graph.ts';
import { input, matmul, sum } from '../../src/engine/graph/operators.ts';
import { cpuBackend } from '../../src/engine/runtime/cpu-node.ts';

const SIZE = 1500;
const a = input('a', [SIZE, SIZE]);
const graph = graphOf({ product: sum(matmul(matmul(a, a), matmul(a, a))) });
const session = await compileTraining(graph, cpuBackend, { workers: 2 });
const run = session.run(new Map([['a', tensorOf('f32', [SIZE, SIZE], new Float32Array(SIZE * SIZE))]]));
const [how] = process.argv.slice(2);
if (how === 'idle') await run;
else {
  run.catch(() => {});
  // Long enough for the run to have begun.
  await new Promise((resolve) => setTimeout(resolve, 60));
  if (how === 'failing') throw new Error('on purpose');
  process.exit(3);
}
