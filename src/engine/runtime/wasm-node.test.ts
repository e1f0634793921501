import { expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { hostTensor } from '../../core/host-tensor.ts';
import { normal, randomKey } from '../../core/random.ts';
import { compileTraining } from '../compile/training.ts';
import { graphOf } from '../graph/graph.ts';
import { input, matmul } from '../graph/operators.ts';
import { wasmBackend as inNode } from './wasm-node.ts';
import { wasmBackend as inBrowsers } from './wasm-web.ts';

test('WebAssembly in Node computes in as many threads as are asked for', async () => {
  const SIDE = 128;
  const x = input('x', [SIDE, SIDE]);
  const product = graphOf({ y: matmul(x, x) });
  const feeds = new Map([['x', hostTensor('f32', [SIDE, SIDE], normal(randomKey(1), SIDE * SIDE))]]);
  let workers = 0;
  const count = () => workers++;
  process.on('worker', count);
  const [two, one] = [
    await compileTraining(product, inNode, { threads: 2 }),
    await compileTraining(product, inBrowsers, { threads: 2 }), // in Node, the build for browsers has one
  ];
  process.off('worker', count);
  expect(workers).toBe(1); // beside the thread that calls
  const [actual, expected] = [(await two.run(feeds)).get('y')!, (await one.run(feeds)).get('y')!];
  await Promise.all([two.release(), one.release()]);
  expectClose(Array.from(actual.data, Number), Array.from(expected.data, Number), { relative: 1e-6 });
});
