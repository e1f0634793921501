/**
 * @file Thousands of damaged checkpoints. Each ends in a `CheckpointError` (arrays: `DataError`), or is read, and then only as follows; anything
 * else (another error, other values, more memory or more reading than the file allows for) fails.
 *
 * - Zip archives have checksums: a file that is still read gives exactly the tensors of the undamaged one. What was hit
 *   is nothing that counts: padding, dates, files that no tensor is in.
 * - Pickles inside archives whose checksums were made right again, files before PyTorch 1.6 and safetensors have none.
 *   Damage to a name, a shape or a value may leave a file that is valid, and cannot be told from one that was meant so.
 *   What is read must be sound: values that fill their shapes, within the memory that a file of its size may take.
 * - `.npz` archives have checksums, `.npy` files and the index of several parts have none.
 * - A model is opened only if it has all parameters, in the right shapes, and every value of them is finite.
 *
 * UDIT_FUZZ_CASES=100000 runs as many per file.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { unzipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { CheckpointError, DataError } from '../src/core/errors.ts';
import type { HostTensor } from '../src/core/host-tensor.ts';
import { fold, randomKey } from '../src/core/random.ts';
import { sizeOf } from '../src/core/shape.ts';
import { sourceOf } from '../src/core/tensor-source.ts';
import { type ByteSource, bytesInMemory } from '../src/formats/byte-source.ts';
import { npyHeader, parseNpy } from '../src/formats/npy.ts';
import { parseNpz } from '../src/formats/npz.ts';
import { openTensors } from '../src/formats/open.ts';
import { openParts } from '../src/formats/parts-node.ts';
import { serialiseSafetensors } from '../src/formats/safetensors.ts';
import type { OpenTensorFile, TensorFile } from '../src/formats/tensor-file.ts';
import { underDiffusersNames } from '../src/models/diffusers-names.ts';
import { loadNetwork } from '../src/models/open-model.ts';
import { cardMetadata } from '../src/models/saved-model.ts';
import { initialise } from '../src/networks/nn/initialise.ts';
import { presetSpec } from '../src/networks/presets.ts';
import { createModel } from '../src/networks/registry.ts';
import { bytesAllocatedIn } from './support/allocations.ts';
import { mutated } from './support/mutations.ts';
import { tinyCard } from './support/tiny-checkpoint.ts';
import { joinBytes, torchArchive, torchStateDict } from './support/torch-writer.ts';
import { withWideRecords } from './support/zip64.ts';

const CASES = Number(process.env.UDIT_FUZZ_CASES ?? 400);
const MEGABYTE = 2 ** 20;
/** What may be allocated and read for a file. */
const allowedBytes = (fileBytes: number): number => 16 * fileBytes + 64 * MEGABYTE;

const fixture = (path: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`fixtures/${path}`, import.meta.url)));

/** A model with few tensors. */
const spec = presetSpec('DiT-S/8', { inputSize: 16, width: 16, heads: 2, depth: 1, numClasses: 3 });
const network = createModel(spec);
const weights = initialise(network, network.initRule, randomKey(1));
const own = joinBytes(...serialiseSafetensors(weights, cardMetadata(tinyCard({ name: 'DiT', spec }))));

const ARCHIVES: Readonly<Record<string, Uint8Array>> = {
  ...Object.fromEntries(
    ['training', 'protocol4', 'protocol5', 'tied', 'deflated'].map((name) => [
      name,
      fixture(`torch/${name}.pt`),
    ]),
  ),
  exotic: fixture('checkpoints/exotic.pt'),
  'objects of protocol 0': fixture('torch/protocols/new-0.pt'),
  'objects of protocol 5': fixture('torch/protocols/new-5.pt'),
  model: torchStateDict(weights),
};
const WITHOUT_CHECKSUMS: Readonly<Record<string, Uint8Array>> = {
  'exotic before 1.6': fixture('checkpoints/exotic_legacy.pt'),
  'objects of protocol 0 before 1.6': fixture('torch/protocols/old-0.pt'),
  'objects of protocol 1 before 1.6': fixture('torch/protocols/old-1.pt'),
  'objects of protocol 4 before 1.6': fixture('torch/protocols/old-4.pt'),
  safetensors: fixture('safetensors/dtypes.safetensors'),
  'a checkpoint of udit': own,
  'the names of diffusers': joinBytes(...serialiseSafetensors(underDiffusersNames(spec, weights), {})),
};

interface Read {
  readonly digest: string;
  readonly opened: boolean;
}

/** What comes of a file: its tensors, or the error that refuses it. */
async function outcomeOf(bytes: Uint8Array): Promise<Read | CheckpointError> {
  try {
    const source = bytesInMemory(bytes);
    let bytesRead = 0;
    const read: ByteSource['read'] = (begin, end) => {
      bytesRead += end - begin;
      expect(bytesRead).toBeLessThanOrEqual(allowedBytes(bytes.length));
      return source.read(begin, end);
    };
    const file = await openTensors({ ...source, read }, 'x');
    const digest = await readSoundly(file, bytes.length);
    return { digest, opened: await opensAsModel(file) };
  } catch (error) {
    if (error instanceof CheckpointError) return error;
    throw error;
  }
}

async function readSoundly(file: TensorFile, fileBytes: number): Promise<string> {
  const hash = createHash('sha256');
  let total = 0;
  for (const [name, { dtype, shape }] of file.infos) {
    const tensor = await file.read(name);
    expect([tensor.dtype, tensor.shape, tensor.data.length]).toEqual([dtype, shape, sizeOf(shape)]);
    total += tensor.data.byteLength;
    const { buffer, byteOffset, byteLength } = tensor.data;
    hash.update(JSON.stringify([name, dtype, shape])).update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  expect(total).toBeLessThanOrEqual(allowedBytes(fileBytes));
  return hash.digest('hex');
}

async function opensAsModel(file: TensorFile): Promise<boolean> {
  try {
    const { network, weights: opened } = await loadNetwork(file, 'x');
    for (const { name, shape } of network.parameters()) {
      const { dtype, data } = opened.get(name)!;
      expect([dtype, data.length]).toEqual(['f32', sizeOf(shape)]);
      expect((data as Float32Array).every(Number.isFinite)).toBe(true);
    }
    return true;
  } catch (error) {
    if (error instanceof CheckpointError) return false;
    throw error;
  }
}

/** The same for a file of arrays. */
async function arraysOf(parse: () => ReadonlyMap<string, HostTensor>): Promise<Read | DataError> {
  try {
    const tensors = parse();
    const bytes = [...tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    return {
      digest: await readSoundly({ ...sourceOf(tensors), format: 'npz', metadata: {} }, bytes),
      opened: false,
    };
  } catch (error) {
    if (error instanceof DataError) return error;
    throw error;
  }
}

type Outcome = Read | CheckpointError | DataError;

/** Runs the cases of one file, and counts what came of them. */
async function fuzz(
  name: string,
  damage: (number: number) => Uint8Array,
  check: (read: Read) => void,
  read: (bytes: Uint8Array) => Promise<Outcome> = outcomeOf,
): Promise<{ readonly refused: number; readonly read: number; readonly problems: number }> {
  const problems = new Set<string>();
  let [refused, sound] = [0, 0];
  for (let number = 0; number < CASES; number++) {
    const bytes = damage(number);
    try {
      let outcome = {} as Outcome;
      const allocated = await bytesAllocatedIn(async () => {
        outcome = await read(bytes);
      });
      expect(allocated).toBeLessThanOrEqual(allowedBytes(bytes.length));
      if (outcome instanceof CheckpointError || outcome instanceof DataError) {
        refused++;
        problems.add(outcome.problem.replace(/[\d"[\],]+/g, '#'));
      } else {
        sound++;
        check(outcome);
      }
    } catch (error) {
      throw new Error(`case ${number} of ${name}: ${(error as Error).message}`, { cause: error });
    }
  }
  return { refused, read: sound, problems: problems.size };
}

const key = randomKey(2026);

describe('archives of PyTorch', () => {
  const wide = { 'with 64-bit records': withWideRecords(torchStateDict(weights)) };

  test.each(Object.entries({ ...ARCHIVES, ...wide }))('%s', async (name, bytes) => {
    const sound = (await outcomeOf(bytes)) as Read;
    const damage = (number: number) => mutated(bytes, fold(key, name), number);
    const { refused, read } = await fuzz(name, damage, ({ digest }) => expect(digest).toBe(sound.digest));
    expect(refused).toBeGreaterThan(CASES / 3);
    expect(read).toBeGreaterThan(0);
  });

  test.each(Object.entries(ARCHIVES))(
    '%s, with a damaged pickle and right checksums',
    async (name, bytes) => {
      const files = Object.entries(unzipSync(bytes)).map(([path, content]) => [
        path.slice(path.indexOf('/') + 1),
        content,
      ]) as [string, Uint8Array][];
      const { 'data.pkl': pickle, ...rest } = Object.fromEntries(files) as Record<string, Uint8Array>;
      const damage = (number: number) =>
        torchArchive({ pickle: mutated(pickle!, fold(key, name), number), storages: {}, extras: rest });
      const { refused, read, problems } = await fuzz(name, damage, () => {});
      expect(refused).toBeGreaterThan(CASES / 3);
      expect(read).toBeGreaterThan(0);
      expect(problems).toBeGreaterThan(8);
    },
  );
});

describe('files without checksums', () => {
  test.each(Object.entries(WITHOUT_CHECKSUMS))('%s', async (name, bytes) => {
    const damage = (number: number) => mutated(bytes, fold(key, name), number);
    const { refused, read, problems } = await fuzz(name, damage, () => {});
    expect(refused).toBeGreaterThan(CASES / 3);
    expect(read).toBeGreaterThan(0);
    expect(problems).toBeGreaterThan(8);
  });
});

describe('arrays of NumPy', () => {
  const archives = {
    stored: fixture('npz/stored.npz'),
    deflated: fixture('npz/deflated.npz'),
    'with 64-bit records': withWideRecords(fixture('npz/stored.npz')),
  };

  test.each(Object.entries(archives))('.npz, %s', async (name, bytes) => {
    // A damaged name would be that of another array, or of none.
    const names = [...parseNpz(bytes, 'x').keys()];
    const inOrder = (arrays: ReadonlyMap<string, HostTensor>) =>
      new Map(names.map((array) => [array, arrays.get(array)!]));
    const parse = (file: Uint8Array) => arraysOf(() => inOrder(parseNpz(file, 'x', names)));
    const sound = (await parse(bytes)) as Read;
    const damage = (number: number) => mutated(bytes, fold(key, name), number);
    const check = ({ digest }: Read) => expect(digest).toBe(sound.digest);
    const { refused, read } = await fuzz(name, damage, check, parse);
    expect(refused).toBeGreaterThan(CASES / 3);
    expect(read).toBeGreaterThan(0);
  });

  test('.npy', async () => {
    const bytes = joinBytes(npyHeader('f32', [3, 5, 2]), new Uint8Array(120).fill(63));
    const parse = (file: Uint8Array) => arraysOf(() => new Map([['x', parseNpy(file, 'x')]]));
    const damage = (number: number) => mutated(bytes, fold(key, 'npy'), number);
    const { refused, read, problems } = await fuzz('npy', damage, () => {}, parse);
    expect(refused).toBeGreaterThan(CASES / 3);
    expect(read).toBeGreaterThan(0);
    expect(problems).toBeGreaterThan(5);
  });
});

test('the index of several parts', async () => {
  const all = [...weights];
  const parts = new Map([
    ['a.safetensors', new Map(all.slice(0, 9))],
    ['b.safetensors', new Map(all.slice(9))],
  ]);
  const weightMap = [...parts].flatMap(([file, tensors]) => [...tensors.keys()].map((name) => [name, file]));
  const index = new TextEncoder().encode(JSON.stringify({ weight_map: Object.fromEntries(weightMap) }));
  const folder = await mkdtemp(join(tmpdir(), 'udit index '));
  const path = join(folder, 'model.safetensors.index.json');
  for (const file of parts.keys()) await writeFile(join(folder, file), '');
  const openPart = async (file: string): Promise<OpenTensorFile> => {
    const tensors = parts.get(basename(file))!;
    return { ...sourceOf(tensors), format: 'safetensors', metadata: {}, close: async () => {} };
  };
  const open = async (bytes: Uint8Array): Promise<Outcome> => {
    await writeFile(path, bytes);
    try {
      const file = await openParts(path, openPart);
      return { digest: await readSoundly(file, own.length), opened: await opensAsModel(file) };
    } catch (error) {
      if (error instanceof CheckpointError) return error;
      throw error;
    }
  };
  try {
    expect(await open(index)).toMatchObject({ opened: true });
    const damage = (number: number) => mutated(index, fold(key, 'index'), number);
    const { refused, read, problems } = await fuzz('index', damage, () => {}, open);
    expect(refused).toBeGreaterThan(CASES / 3);
    expect(read).toBeGreaterThan(0);
    expect(problems).toBeGreaterThan(5);
  } finally {
    await rm(folder, { recursive: true });
  }
});
