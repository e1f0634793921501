import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tensorOf, zeros } from '../../core/host-tensor.ts';
import { graphOf } from '../graph/graph.ts';
import { input, linear, parameter } from '../graph/operators.ts';
import { lowerGraph } from '../onnx/lower.ts';
import { PORTABLE } from '../onnx/lowering.ts';
import { cpuBackend } from './cpu-node.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-optimise-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('an optimised model gives what the original gives, from files that are its own', async () => {
  const y = linear(input('x', [2, 300]), parameter('weight', [5, 300]));
  const { bytes } = lowerGraph(graphOf({ y }), { features: PORTABLE, weights: { dataFile: 'weights.data' } });
  const weight = Float32Array.from({ length: 1500 }, (_, i) => Math.sin(i));
  await writeFile(join(folder, 'model.onnx'), bytes);
  await writeFile(join(folder, 'weights.data'), new Uint8Array(weight.buffer));
  const run = async (name: string, isOptimised: boolean) => {
    const path = join(folder, name);
    const session = await cpuBackend.createSession({ path, isOptimised }, { purpose: 'inference' });
    const x = tensorOf('f32', [2, 300], weight.subarray(0, 600).map(Math.cos));
    const results = await session.run(new Map([['x', x]]));
    await session.release();
    return results.get('y')!.data;
  };
  const expected = await run('model.onnx', false);
  await cpuBackend.optimise!(join(folder, 'model.onnx'), join(folder, 'optimised.onnx'));
  for (const name of ['model.onnx', 'weights.data']) await rm(join(folder, name));
  expect(await run('optimised.onnx', true)).toEqual(expected);
  expect((await readdir(folder)).sort()).toEqual(['optimised.onnx', 'optimised.onnx.data']);
});

test('a model that cannot be optimised is an error that says why', async () => {
  await writeFile(join(folder, 'model.onnx'), 'no model');
  const failing = cpuBackend.optimise!(join(folder, 'model.onnx'), join(folder, 'optimised.onnx'));
  const { message } = (await failing.catch((error: unknown) => error)) as Error;
  expect(message.replaceAll(folder, 'FOLDER')).toMatchInlineSnapshot(
    `"RuntimeUnavailableError: runtime cpu: the model could not be loaded: Load model from FOLDER/model.onnx failed:Protobuf parsing failed."`,
  );
});

test('packed weights are shared where they lie aligned, and done without elsewhere', async () => {
  // A weight of 5 columns ends where no aligned load may begin.
  for (const [columns, isPacked] of [
    [64, true],
    [5, false],
  ] as const) {
    const y = linear(input('x', [2, 300]), parameter('weight', [columns, 300]));
    const weights = new Uint8Array(new Float32Array(columns * 300).fill(0.5).buffer);
    const model = lowerGraph(graphOf({ y }), { features: PORTABLE, weights: { dataFile: 'weights.data' } });
    await writeFile(join(folder, 'model.onnx'), model.bytes);
    await writeFile(join(folder, 'weights.data'), weights);
    const path = join(folder, 'optimised.onnx');
    await cpuBackend.optimise!(join(folder, 'model.onnx'), path);
    expect((await stat(`${path}.data`)).size > 1.5 * weights.length).toBe(isPacked);
    const session = await cpuBackend.createSession({ path, isOptimised: true }, { purpose: 'inference' });
    const results = await session.run(new Map([['x', zeros('f32', [2, 300])]]));
    expect(results.get('y')!.data).toEqual(new Float32Array(2 * columns));
    await session.release();
  }
});
