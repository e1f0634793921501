import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Difference } from '../core/difference.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf } from '../core/host-tensor.ts';
import { fold, normal, randomKey } from '../core/random.ts';
import { sizeOf } from '../core/shape.ts';
import { DiskCache } from '../engine/compile/disk-cache-node.ts';
import { compileInference, type InferenceOptions } from '../engine/compile/inference.ts';
import { type Graph, graphOf } from '../engine/graph/graph.ts';
import { topologicalOrder } from '../engine/graph/traverse.ts';
import { evaluate } from '../engine/interp/evaluate.ts';
import { cpuBackend } from '../engine/runtime/cpu-node.ts';
import type { Backend } from '../engine/runtime/session.ts';
import { wasmBackend } from '../engine/runtime/wasm-web.ts';
import type { Denoiser } from './denoisers/denoiser.ts';
import { initialise, normalWith } from './nn/initialise.ts';
import { inPrecision } from './precision.ts';
import { presetSpec } from './presets.ts';
import { createModel } from './registry.ts';
import { imageShapeOf, traceNetwork } from './trace.ts';

const KEY = randomKey(7);
const TINY = { inputSize: 8, width: 16, heads: 2, numClasses: 3 };
const udit = createModel(presetSpec('U-DiT-XS', { ...TINY, depth: [1, 1, 1, 1, 1] }));
const dit = createModel(presetSpec('DiT-S/2', { ...TINY, depth: 2 }));

const draw = (name: string, shape: readonly number[]) =>
  hostTensor('f32', shape, normal(fold(KEY, name), sizeOf(shape)));

function settingOf(model: Denoiser) {
  const weights = initialise(
    model,
    (_, shape) => normalWith(1 / Math.sqrt(shape.at(-1)!)),
    fold(KEY, 'weights'),
  );
  const feeds: TensorMap = new Map<string, HostTensor>([
    ['x', draw('x', [1, ...imageShapeOf(model.config)])],
    ['t', tensorOf('f32', [1], [0.4])],
    ['y', tensorOf('i64', [1], [2])],
  ]);
  const graph = graphOf({ out: traceNetwork(model).outputs.prediction });
  return { model, weights, feeds, graph, int8: inPrecision(graph, model, 'int8') };
}
type Setting = ReturnType<typeof settingOf>;

async function run(graph: Graph, { weights, feeds }: Setting, backend: Backend, options?: InferenceOptions) {
  const session = await compileInference(graph, weights, backend, options);
  const result = await session.run(feeds);
  await session.release();
  return result;
}

function relativeL2(actual: TensorMap, expected: TensorMap): number {
  const difference = new Difference();
  difference.add(actual, expected);
  return difference.relativeL2;
}

const opCount = (graph: Graph, op: string) =>
  topologicalOrder(graph.values()).filter((tensor) => tensor.op === op).length;

test.each([
  ['U-DiT', udit],
  ['DiT', dit],
])('%s in int8: as in float64 on both backends, and close to float32', async (_, model) => {
  const setting = settingOf(model);
  const exact = evaluate(setting.int8, new Map([...setting.feeds, ...setting.weights])).get('out')!;
  const reference: TensorMap = new Map([['out', hostTensor('f64', exact.shape, exact.data)]]);
  const f32 = await run(setting.graph, setting, cpuBackend);
  for (const backend of [cpuBackend, wasmBackend]) {
    const int8 = await run(setting.int8, setting, backend);
    const error = relativeL2(int8, f32);
    expect(error).toBeGreaterThan(1e-3);
    expect(error).toBeLessThan(6e-2);
    // A value in the middle between two levels may be rounded to the other one, and what follows with it.
    expect(relativeL2(int8, reference)).toBeLessThan(error / 3);
  }
});

test('the first and the last layer and what conditions stay in float32', () => {
  const { int8 } = settingOf(dit);
  // Queries, keys, values, projection and the MLP of two blocks.
  expect(opCount(int8, 'quantizedLinear')).toBe(2 * 6);
  // Patches, pixels, two embedders of two and one layers, adaLN of the blocks and of the last layer.
  expect(opCount(int8, 'linear')).toBe(2 + 2 + 3);
  expect(inPrecision(int8, dit, 'f32')).toBe(int8);
});

test('the cache keeps the precisions apart', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'udit-compiled-'));
  try {
    const cache = new DiskCache({ folder, maxBytes: 1e9 });
    const setting = settingOf(dit);
    const [f32, int8] = [
      await run(setting.graph, setting, cpuBackend, { cache }),
      await run(setting.int8, setting, cpuBackend, { cache }),
    ];
    expect(await readdir(folder)).toHaveLength(2);
    expect(await run(setting.int8, setting, cpuBackend, { cache })).toEqual(int8);
    expect(relativeL2(int8, f32)).toBeGreaterThan(1e-3);
  } finally {
    await rm(folder, { recursive: true });
  }
});
