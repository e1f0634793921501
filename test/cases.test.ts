/** @file Weights as other programs write them: each file gives exactly the weights and the outputs of one small DiT. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Difference } from '../src/core/difference.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf } from '../src/core/host-tensor.ts';
import { sizeOf } from '../src/core/shape.ts';
import { compileInference } from '../src/engine/compile/inference.ts';
import { graphOf } from '../src/engine/graph/graph.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { bytesInMemory } from '../src/formats/byte-source.ts';
import { parseNpz } from '../src/formats/npz.ts';
import { openTensors } from '../src/formats/open.ts';
import { parseSafetensors, serialiseSafetensors } from '../src/formats/safetensors.ts';
import { loadNetwork, type ModelRequest } from '../src/models/open-model.ts';
import { openModel } from '../src/models/open-node.ts';
import type { SavedModel } from '../src/models/saved-model.ts';
import { traceNetwork } from '../src/networks/trace.ts';
import { runUdit } from './support/run-udit.ts';
import { joinBytes, torchArchive, torchStateDict } from './support/torch-writer.ts';

const fixture = (path: string) => readFile(new URL(`fixtures/cases/${path}`, import.meta.url));
const base = new Uint8Array(await fixture('weights.safetensors'));
const weights: TensorMap = parseSafetensors(base, 'weights').tensors;
const forward = parseNpz(await fixture('forward.npz'), 'forward') as ReadonlyMap<string, HostTensor<'f32'>>;

const bytesOf = ({ data }: HostTensor): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
const values = [...weights.values()].map(bytesOf);

async function open(bytes: Uint8Array, request?: ModelRequest): Promise<SavedModel> {
  return loadNetwork(await openTensors(bytesInMemory(bytes), 'x'), 'x', request);
}

/** What a file says of itself apart, it is the same model with the same weights, bit for bit. */
async function expectTheWeights(saved: SavedModel): Promise<void> {
  expect(saved.card.spec).toEqual((await open(base)).card.spec);
  expect([...saved.weights.keys()]).toEqual([...weights.keys()]);
  for (const [name, tensor] of weights) {
    expect(Buffer.compare(bytesOf(saved.weights.get(name)!), bytesOf(tensor)), name).toBe(0);
  }
}

async function predict({ network, weights }: SavedModel, inputs: TensorMap): Promise<HostTensor> {
  const [batch, , height, width] = inputs.get('x')!.shape as [number, number, number, number];
  const { outputs } = traceNetwork(network, { batch, size: { height, width } });
  const session = await compileInference(graphOf(outputs), weights, cpuBackend, { threads: 1 });
  try {
    return (await session.run(inputs)).get('prediction')!;
  } finally {
    await session.release();
  }
}

/** Predicts as the implementation in PyTorch does. */
async function expectPrediction(
  saved: SavedModel,
  inputs: TensorMap = forward,
  expected: HostTensor = forward.get('prediction')!,
): Promise<void> {
  const difference = new Difference();
  difference.add(
    new Map([['prediction', await predict(saved, inputs)]]),
    new Map([['prediction', expected]]),
  );
  expect(difference.relativeL2).toBeLessThan(1e-5);
}

/** An archive of PyTorch around one of its pickles, with these storages under their numbers. */
async function archiveOf(pickle: string, storages: readonly Uint8Array[]): Promise<Uint8Array> {
  const numbered = Object.fromEntries(storages.map((bytes, i) => [String(i), bytes]));
  return torchArchive({ pickle: new Uint8Array(await fixture(`${pickle}.pkl`)), storages: numbered });
}

const finding = ({ findings }: SavedModel, label: string) => findings.find(([name]) => name === label)?.[1];

test('the weights alone', async () => {
  const saved = await open(base);
  await expectTheWeights(saved);
  await expectPrediction(saved);
});

describe('PyTorch', () => {
  test.each([
    ['pt-with-other-objects/torch-types', 'objects of torch.device'],
    ['pt-with-other-objects/path-in-args', 'objects of pathlib.PosixPath'],
    ['pt-with-other-objects/numpy-scalar', 'objects of numpy.dtype, numpy._core.multiarray.scalar'],
    ['pt-wrapped-blocks/compiled-blocks', undefined],
    ['pt-wrapped-blocks/checkpointed-blocks', undefined],
    ['pt-wrapped-blocks/sharded-wrapper', undefined],
  ])('%s', async (pickle, passedOver) => {
    const saved = await open(await archiveOf(pickle, values));
    await expectTheWeights(saved);
    expect(finding(saved, 'passed over')).toBe(passedOver);
  });

  test.each([
    ['with-counters', [8, 8], 'total_ops, total_params'],
    ['with-projector', [512, 32], 'projectors.0.0.weight, projectors.0.0.bias'],
  ])('weights-and-more/%s', async (pickle, sizes, unused) => {
    const more = sizes.map((size) => new Uint8Array(size));
    const saved = await open(await archiveOf(`weights-and-more/${pickle}`, [...values, ...more]));
    await expectTheWeights(saved);
    expect(finding(saved, 'not used')).toBe(unused);
  });

  test.each(['upper-case', 'with-dash'])('names-of-averages/%s', async (pickle) => {
    const zeros = values.map(({ length }) => new Uint8Array(length));
    const saved = await open(await archiveOf(`names-of-averages/${pickle}`, [...zeros, ...values]));
    await expectTheWeights(saved);
    expect([saved.source, finding(saved, 'weights')]).toEqual(['ema', 'ema, preferred to model']);
  });

  test('names-of-averages/two-averages: the first, and the other by its name', async () => {
    // The last weights are one half of two bytes each, seen with strides of zero.
    const last = values.map(() => new Uint8Array(2));
    const ones = values.map(({ length }) => new Uint8Array(new Uint16Array(length / 4).fill(0x3c00).buffer));
    const file = await archiveOf('names-of-averages/two-averages', [...last, ...values, ...ones]);
    const saved = await open(file);
    await expectTheWeights(saved);
    expect(finding(saved, 'weights')).toContain('ema (model_ema1), preferred to model, model_ema2');
    const second = await open(file, { weights: 'model_ema2' });
    expect(second.weights.get('x_embedder.proj.bias')!.data).toEqual(new Float32Array(16).fill(1));
    expect((await open(file, { weights: 'model' })).weights.get('pos_embed')!.data).toEqual(
      new Float32Array(256),
    );
  });

  test('pt-views-and-strides: transposed matrices, and one storage for all', async () => {
    const columns = [...weights.values()].map((tensor) =>
      tensor.shape.length === 2 ? bytesOf(transposed(tensor)) : bytesOf(tensor),
    );
    await expectTheWeights(await open(await archiveOf('pt-views-and-strides/transposed', columns)));
    const storage = joinBytes(new Uint8Array(20), ...values, new Uint8Array(16));
    await expectTheWeights(await open(await archiveOf('pt-views-and-strides/one-storage', [storage])));
  });

  test('an archive packed again, compressed and with an entry for its folder', async () => {
    const pickle = new Uint8Array(await fixture('pt-with-other-objects/torch-types.pkl'));
    const storages = Object.fromEntries(values.map((bytes, i) => [`a/data/${i}`, bytes]));
    const packed = zipSync({ 'a/': new Uint8Array(0), 'a/data.pkl': pickle, ...storages }, { level: 9 });
    await expectTheWeights(await open(packed));
  });

  test('checksums that were never computed are 0; a wrong one is an error', async () => {
    const sound = torchStateDict(weights);
    await expectTheWeights(await open(withChecksums(sound, 0)));
    await expect(open(withChecksums(sound, 1))).rejects.toThrow('the checksum of archive/data');
  });
});

function transposed({ shape, data }: HostTensor): HostTensor {
  const [rows, columns] = shape as [number, number];
  const at = (i: number) => data[(i % rows) * columns + Math.floor(i / rows)] as number;
  return tensorOf(
    'f32',
    [columns, rows],
    Array.from({ length: rows * columns }, (_, i) => at(i)),
  );
}

/** All CRC fields of a zip archive, those of the contents and of the directory. */
function withChecksums(archive: Uint8Array, crc: number): Uint8Array {
  const changed = archive.slice();
  const view = new DataView(changed.buffer);
  for (let at = 0; at + 20 <= changed.length; at++) {
    const signature = view.getUint32(at, true);
    if (signature === 0x04034b50) view.setUint32(at + 14, crc, true);
    if (signature === 0x02014b50) view.setUint32(at + 16, crc, true);
  }
  return changed;
}

describe('safetensors', () => {
  const header = (entries: string): Uint8Array => {
    const json = new TextEncoder().encode(`{${entries}}`);
    return joinBytes(new Uint8Array(BigUint64Array.of(BigInt(json.length)).buffer), json);
  };
  const entryOf = (name: string, { shape }: HostTensor, begin: number) =>
    `"${name}":{"dtype":"F32","shape":[${shape}],"data_offsets":[${begin},${begin + 4 * sizeOf(shape)}]}`;
  const entries = (prefix = '') => {
    let offset = 0;
    return [...weights].map(([name, tensor]) => {
      const entry = entryOf(prefix + name, tensor, offset);
      offset += tensor.data.byteLength;
      return entry;
    });
  };
  const total = values.reduce((sum, { length }) => sum + length, 0);

  test('metadata that are null', async () => {
    const file = joinBytes(header(['"__metadata__":null', ...entries()].join()), ...values);
    await expectTheWeights(await open(file));
  });

  test('an empty tensor, a scalar, and one called __proto__', async () => {
    const one = tensorOf('f32', [], [1]);
    const more = [
      entryOf('empty', tensorOf('f32', [0, 3], []), total),
      entryOf('scalar', one, total),
      entryOf('__proto__', one, total + 4),
    ];
    const file = joinBytes(header([...entries('ema.'), ...more].join()), ...values, new Uint8Array(8));
    const saved = await open(file);
    await expectTheWeights(saved);
    expect(saved.source).toBe('ema');
    expect(Object.getPrototypeOf(saved.weights)).toBe(Map.prototype);
  });

  test('a name that is there twice', async () => {
    const name = 'x_embedder.proj.bias';
    const twice = entryOf(name, weights.get(name)!, total);
    const file = joinBytes(header([...entries(), twice].join()), ...values, new Uint8Array(64));
    await expect(open(file)).rejects.toThrow(`x: the header names ${name} twice`);
  });
});

describe('files', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'udit cases '));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('two parts and their index', async () => {
    const names = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    const all = [...weights];
    const parts = [all.slice(0, 10), all.slice(10)];
    const weightMap = Object.fromEntries(parts.flatMap((part, i) => part.map(([name]) => [name, names[i]])));
    await writeFile(
      join(folder, 'model.safetensors.index.json'),
      JSON.stringify({ metadata: {}, weight_map: weightMap }),
    );
    for (const [i, part] of parts.entries()) {
      await writeFile(join(folder, names[i]!), joinBytes(...serialiseSafetensors(new Map(part), {})));
    }
    for (const given of ['model.safetensors.index.json', names[1]!, '.']) {
      await expectTheWeights(await openModel(join(folder, given)));
    }
    await rm(join(folder, names[1]!));
    await expect(openModel(join(folder, names[0]!))).rejects.toThrow(names[1]);
  });

  test('a table of one row: it draws without guidance, and refuses it in one line', async () => {
    const path = join(folder, 'unconditional.safetensors');
    await writeFile(path, joinBytes(...serialiseSafetensors(withOneRow(0).weights, {})));
    const flags = ['--count', '1', '--steps', '2', '--out', join(folder, 'drawn'), '--workers', '1'];
    expect(await runUdit(['sample', path, ...flags], folder)).toMatchObject({ code: 0 });
    const { code, err } = await runUdit(['sample', path, ...flags, '--cfg-scale', '2'], folder);
    expect(code).toBe(2);
    expect(err).toContain('the label table has rows for its classes only (1)');
  });
});

/** The model for the class of one image of the recorded forward, as if it knew no other, and what it must predict. */
function withOneRow(image: number) {
  const name = 'y_embedder.embedding_table.weight';
  const label = Number(forward.get('y')!.data[image]);
  const table = weights.get(name)!.data as Float32Array;
  const only = hostTensor('f32', [1, 16], table.slice(16 * label, 16 * (label + 1)));
  const slice = (key: string): HostTensor<'f32'> => {
    const { shape, data } = forward.get(key)!;
    const size = data.length / shape[0]!;
    return hostTensor('f32', [1, ...shape.slice(1)], data.slice(image * size, (image + 1) * size));
  };
  const inputs = new Map<string, HostTensor>([
    ['x', slice('x')],
    ['t', slice('t')],
    ['y', tensorOf('i64', [1], [0])],
  ]);
  return { weights: new Map(weights).set(name, only), inputs, prediction: slice('prediction') };
}

describe('models by what they are', () => {
  const fileOf = (tensors: TensorMap): Uint8Array => joinBytes(...serialiseSafetensors(tensors, {}));

  test.each([0, 1])('a table of one row, of image %i', async (image) => {
    const { weights: one, inputs, prediction } = withOneRow(image);
    const saved = await open(fileOf(one));
    expect(saved.card.spec.config).toMatchObject({ numClasses: 1, classDropoutProb: 0 });
    await expectPrediction(saved, inputs, prediction);
  });

  test('no table of positions', async () => {
    const rest = new Map([...weights].filter(([name]) => name !== 'pos_embed'));
    const saved = await open(fileOf(rest));
    expect(finding(saved, 'computed')).toBe('pos_embed');
    await expectTheWeights(saved);
  });

  test('the names of diffusers', async () => {
    const saved = await open(fileOf(ofDiffusers()));
    await expectTheWeights(saved);
    await expectPrediction(saved);
  });
});

/** Written out once more, for one block, to check the table of the project. */
function ofDiffusers(): TensorMap {
  const block = 'transformer_blocks.0';
  const names: [string, string][] = [
    ['x_embedder.proj', 'pos_embed.proj'],
    ['t_embedder.mlp.0', `${block}.norm1.emb.timestep_embedder.linear_1`],
    ['t_embedder.mlp.2', `${block}.norm1.emb.timestep_embedder.linear_2`],
    ['y_embedder.embedding_table', `${block}.norm1.emb.class_embedder.embedding_table`],
    ['blocks.0.attn.proj', `${block}.attn1.to_out.0`],
    ['blocks.0.mlp.fc1', `${block}.ff.net.0.proj`],
    ['blocks.0.mlp.fc2', `${block}.ff.net.2`],
    ['blocks.0.adaLN_modulation.1', `${block}.norm1.linear`],
    ['final_layer.linear', 'proj_out_2'],
    ['final_layer.adaLN_modulation.1', 'proj_out_1'],
  ];
  const renamed = new Map<string, HostTensor>();
  for (const part of ['weight', 'bias']) {
    for (const [ours, theirs] of names) {
      const tensor = weights.get(`${ours}.${part}`);
      if (tensor !== undefined) renamed.set(`${theirs}.${part}`, tensor);
    }
    const { data, shape } = weights.get(`blocks.0.attn.qkv.${part}`) as HostTensor<'f32'>;
    for (const [i, letter] of ['q', 'k', 'v'].entries()) {
      const third = data.slice((i * data.length) / 3, ((i + 1) * data.length) / 3);
      renamed.set(
        `${block}.attn1.to_${letter}.${part}`,
        hostTensor('f32', [shape[0]! / 3, ...shape.slice(1)], third),
      );
    }
  }
  return renamed;
}
