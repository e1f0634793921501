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
const feeds = new Map([['a', tensorOf('f32', [SIZE, SIZE], new Float32Array(SIZE * SIZE))]]);
const [how] = process.argv.slice(2);
const runs = Array.from({ length: how === 'idle' ? 1 : 8 }, () => session.run(feeds));
if (how === 'idle') await runs[0];
else {
  // When one has ended, others are under way or wait.
  await Promise.race(runs);
  for (const run of runs) run.catch(() => {});
  if (how === 'failing') throw new Error('on purpose');
  process.exit(3);
}
