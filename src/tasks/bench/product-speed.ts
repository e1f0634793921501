/** @file How fast a machine multiplies matrices and does nothing else: what no network of products can exceed. */

import { hostTensor, type TensorMap } from '../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../core/random.ts';
import { compileInference } from '../../engine/compile/inference.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input, linear, parameter } from '../../engine/graph/operators.ts';
import type { Tensor } from '../../engine/graph/tensor.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import type { Workload } from './plan.ts';

/** The feed-forward network of DiT-S/2 with 8 images, which is large enough to be as fast as any product. */
const ROWS = 2048;
const WIDTH = 384;
const HIDDEN = 1536;
/** Pairs of products in a row, beside which reading the input and writing the output are nothing. */
const PAIRS = 4;
const RUNS = 5;

/** Operations of all workers in a second, in 10^9, the best of a few runs; a multiply-accumulate is two. */
export async function productGflops(
  backend: Backend,
  { workers, threads }: Pick<Workload, 'workers' | 'threads'>,
): Promise<number> {
  const key = randomKey(0);
  const random = (name: string, rows: number, columns: number) =>
    hostTensor(
      'f32',
      [rows, columns],
      normal(fold(key, name), rows * columns).map((value) => value / Math.sqrt(columns)),
    );
  const weights: TensorMap = new Map([
    ['up', random('up', HIDDEN, WIDTH)],
    ['down', random('down', WIDTH, HIDDEN)],
  ]);
  const [up, down] = [parameter('up', [HIDDEN, WIDTH]), parameter('down', [WIDTH, HIDDEN])];
  let out: Tensor = input('x', [ROWS, WIDTH]);
  for (let pair = 0; pair < PAIRS; pair++) out = linear(linear(out, up), down);
  const session = await compileInference(graphOf({ out }), weights, backend, {
    threads,
    ...(workers > 1 ? { workers } : {}),
  });
  const feeds = new Map([['x', random('x', ROWS, WIDTH)]]);
  const run = () => Promise.all(Array.from({ length: workers }, () => session.run(feeds)));
  let fastest = Number.POSITIVE_INFINITY;
  try {
    await run();
    for (let i = 0; i < RUNS; i++) {
      const began = performance.now();
      await run();
      fastest = Math.min(fastest, (performance.now() - began) / 1000);
    }
  } finally {
    await session.release();
  }
  return (2 * PAIRS * 2 * ROWS * WIDTH * HIDDEN * workers) / fastest / 1e9;
}
