import { expect, it } from 'vitest';
import { hostTensor } from '../core/host-tensor.ts';
import { graphOf } from '../graph/graph.ts';
import { add, input, mul } from '../graph/operators.ts';
import { compileTraining } from './compile.ts';
import { keepFreedMemory } from './malloc-node.ts';
import { cpuBackend } from './ort-node.ts';

it('makes no page faults for large values once they have been made', async ({ skip }) => {
  if (!(await keepFreedMemory())) skip('needs glibc and the optional dependency koffi');
  // 48 MiB: above the largest size that glibc takes from its heap by itself.
  const x = input('x', [1024, 12, 1024]);
  const session = await compileTraining(graphOf({ y: mul(add(mul(x, 2), 1), x) }), cpuBackend);
  const shape = [1024, 12, 1024];
  const feeds = new Map([['x', hostTensor('f32', shape, new Float32Array(1024 * 12 * 1024))]]);
  const fetches = new Map([['y', hostTensor('f32', shape, new Float32Array(1024 * 12 * 1024))]]);
  for (let i = 0; i < 3; i++) await session.run(feeds, fetches);
  const before = process.resourceUsage().minorPageFault;
  for (let i = 0; i < 3; i++) await session.run(feeds, fetches);
  const faults = process.resourceUsage().minorPageFault - before;
  await session.release();
  // 12,288 pages a value; handed back and faulted in again, three runs would make at least 36,864.
  expect(faults).toBeLessThan(6000);
});
