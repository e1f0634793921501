/** @file A model written here, loaded by PyTorch under its own names, run there, saved by it and opened here again. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type HostTensor, hostTensor, type TensorMap, tensorOf, toNumbers } from '../src/core/host-tensor.ts';
import { normal, randomKey } from '../src/core/random.ts';
import { cast, input } from '../src/engine/graph/operators.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { openTensorFile, writeSafetensors } from '../src/formats/file-node.ts';
import { floatsToHalves, halvesToFloats } from '../src/formats/half.ts';
import { openCheckpoint } from '../src/models/bundled-node.ts';
import { writeModel } from '../src/models/write-model-node.ts';
import { presetSpec } from '../src/networks/presets.ts';
import { createModel } from '../src/networks/registry.ts';
import { runGraph } from '../tools/parity/run-graph.ts';
import { expectClose } from './support/closeness.ts';
import { findPythonWithTorch, NO_PYTORCH } from './support/find-python.ts';
import { randomWeights, tinyCard } from './support/tiny-checkpoint.ts';

const SCRIPT = fileURLToPath(new URL('support/load_in_pytorch.py', import.meta.url));
const run = promisify(execFile);
const python = await findPythonWithTorch();

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-pytorch-'));
});
afterAll(() => rm(folder, { recursive: true }));

const spec = presetSpec('U-DiT-S', {
  inputSize: 16,
  width: 8,
  heads: 2,
  depth: [1, 1, 2, 1, 1],
  numClasses: 5,
});
const card = tinyCard({ name: 'U-DiT-S', spec, objective: { kind: 'gaussian' }, version: '1.2.3' });
const inputs = new Map<string, HostTensor>([
  ['x', hostTensor('f32', [2, 4, 16, 16], normal(randomKey(1), 2 * 4 * 16 * 16))],
  ['t', tensorOf('i64', [2], [3, 700])],
  ['y', tensorOf('i64', [2], [1, 5])],
]);

async function predictHere(weights: TensorMap): Promise<HostTensor> {
  const leaf = (name: string) => input(name, inputs.get(name)!.shape, inputs.get(name)!.dtype);
  const out = createModel(spec).apply(leaf('x'), { t: cast(leaf('t'), 'f32'), y: leaf('y') });
  return (await runGraph({ out }, inputs, cpuBackend, weights)).get('out')!;
}

/** Order, names, shapes and every bit. */
function expectSame(actual: TensorMap, expected: TensorMap): void {
  expect([...actual.keys()]).toEqual([...expected.keys()]);
  const differing = [...expected].filter(([name, tensor]) => {
    const { shape, data } = actual.get(name)!;
    return String(shape) !== String(tensor.shape) || !bytesOf(data).equals(bytesOf(tensor.data));
  });
  expect(differing.map(([name]) => name)).toEqual([]);
}

function bytesOf({ buffer, byteOffset, byteLength }: HostTensor['data']): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function asHalves(tensors: TensorMap): TensorMap {
  const rounded = [...tensors].map(([name, { shape, data }]) => {
    const values = halvesToFloats(floatsToHalves(data as Float32Array));
    return [name, hostTensor('f32', shape, values)] as const;
  });
  return new Map(rounded);
}

test.for(['f32', 'f16'] as const)('a model with %s weights', async (floats, { skip }) => {
  if (python === undefined) return skip(NO_PYTORCH);
  const exact = randomWeights(spec, 7);
  const weights = floats === 'f16' ? asHalves(exact) : exact;
  const paths = { model: join(folder, 'model.safetensors'), inputs: join(folder, 'inputs.safetensors') };
  await writeModel(paths.model, { card, weights: exact, source: 'ema' }, { floats });
  await writeSafetensors(paths.inputs, inputs, {});
  const { stdout } = await run(python, [SCRIPT, paths.model, paths.inputs, folder]);
  expect(JSON.parse(stdout)).toMatchObject({
    dtype: floats === 'f16' ? 'torch.float16' : 'torch.float32',
    metadata: {
      format: 'udit-1',
      name: 'U-DiT-S',
      spec: JSON.stringify(spec),
      step: '20',
      nimg: '640',
      version: '1.2.3',
      weights: 'ema',
    },
  });

  // As PyTorch saves it, in both of its formats.
  const zip = await openTensorFile(join(folder, 'zip.pt'));
  expectClose(toNumbers(await zip.read('out')), toNumbers(await predictHere(weights)), { relative: 1e-4 });
  await zip.close();
  for (const name of ['zip.pt', 'legacy.pt']) {
    const saved = await openCheckpoint(join(folder, name), { imageSize: 128 });
    expect(saved.network.config).toEqual({ ...spec.config });
    expectSame(saved.weights, weights);
  }
});
