/** What can be seen of WebGPU in browsers without one: the library loads, and says that there is no WebGPU in Node. */
import { expect, test } from 'vitest';
import { tensorOf } from '../../core/host-tensor.ts';
import { compileTraining } from '../compile/training.ts';
import { graphOf } from '../graph/graph.ts';
import { input, mul } from '../graph/operators.ts';
import { webgpuBackend } from './webgpu-web.ts';

const doubling = graphOf({ y: mul(input('x', [3]), 2) });

test('weights are computed with in WebAssembly of the same library', async () => {
  const session = await compileTraining(doubling, webgpuBackend.foldsOn!);
  const results = await session.run(new Map([['x', tensorOf('f32', [3], [1, 2, 3])]]));
  expect(results.get('y')!.data).toEqual(Float32Array.of(2, 4, 6));
  await session.release();
});

test('without WebGPU there is no session', async () => {
  await expect(compileTraining(doubling, webgpuBackend)).rejects.toThrowErrorMatchingInlineSnapshot(
    `[RuntimeUnavailableError: RuntimeUnavailableError: runtime webgpu: the model could not be loaded: no available backend found. ERR: [webgpu] Error: WebGPU is not supported in current environment]`,
  );
});
