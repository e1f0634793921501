import { expect, test } from 'vitest';
import { tensorOf, toNumbers } from '../../core/host-tensor.ts';
import { compileTraining } from '../compile/training.ts';
import { graphOf } from '../graph/graph.ts';
import { input, mul, neg } from '../graph/operators.ts';
import { cpuBackend } from './cpu-node.ts';
import { wasmBackend } from './wasm-web.ts';

test.each([cpuBackend, wasmBackend])('$name writes outputs into the buffers it is given', async (backend) => {
  const x = input('x', [3]);
  const session = await compileTraining(graphOf({ doubled: mul(x, 2), negative: neg(x) }), backend);
  const memory = new Float32Array(5);
  const doubled = { dtype: 'f32', shape: [3], data: memory.subarray(1, 4) } as const;
  for (const values of [
    [1, 2, 3],
    [-4, 5, 6],
  ]) {
    const results = await session.run(
      new Map([['x', tensorOf('f32', [3], values)]]),
      new Map([['doubled', doubled]]),
    );
    expect(results.get('doubled')).toBe(doubled);
    expect(Array.from(memory)).toEqual([0, ...values.map((value) => 2 * value), 0]);
    expect(Array.from(toNumbers(results.get('negative')!))).toEqual(values.map((value) => -value));
  }
  await session.release();
});
