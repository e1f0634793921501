import { expect, it } from 'vitest';
import { hostTensor } from '../../core/host-tensor.ts';
import { compileTraining } from '../../engine/compile/training.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { add, input, mul, sum } from '../../engine/graph/operators.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import { keepFreedMemory } from './malloc-node.ts';

it('makes large values without page faults once the heap has settled', async ({ skip }) => {
  if (!(await keepFreedMemory())) skip('needs glibc and the optional dependency koffi');
  // 48 MiB: above the largest size that glibc takes from its heap by itself.
  const x = input('x', [1024, 12, 1024]);
  const session = await compileTraining(graphOf({ y: sum(mul(add(mul(x, 2), 1), x)) }), cpuBackend);
  const shape = [1024, 12, 1024];
  const feeds = new Map([['x', hostTensor('f32', shape, new Float32Array(1024 * 12 * 1024))]]);
  const faults: number[] = [];
  for (let run = 0; run < 16; run++) {
    const before = process.resourceUsage().minorPageFault;
    await session.run(feeds);
    faults.push(process.resourceUsage().minorPageFault - before);
  }
  await session.release();
  // 12,288 pages a value: handed back, two values would be faulted in at every run. The heap settles in some runs.
  expect(Math.min(...faults)).toBeLessThan(1000);
});
