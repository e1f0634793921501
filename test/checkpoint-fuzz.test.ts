/**
 * @file Thousands of damaged checkpoints. Each ends in a `CheckpointError`, or is read, and then only as follows; anything
 * else (another error, other values, more memory or more reading than the file allows for) fails.
 *
 * - Zip archives have checksums: a file that is still read gives exactly the tensors of the undamaged one. What was hit
 *   is nothing that counts: padding, dates, files that no tensor is in.
 * - Pickles inside archives whose checksums were made right again, files before PyTorch 1.6 and safetensors have none.
 *   Damage to a name, a shape or a value may leave a file that is valid, and cannot be told from one that was meant so.
 *   What is read must be sound: values that fill their shapes, within the memory that a file of its size may take.
 * - A model is opened only if it has all parameters, in the right shapes, and every value of them is finite.
 *
 * UDIT_FUZZ_CASES=100000 runs as many per file.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { unzipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { CheckpointError } from '../src/core/errors.ts';
import { fold, randomKey } from '../src/core/random.ts';
import { sizeOf } from '../src/core/shape.ts';
import { type ByteSource, bytesInMemory } from '../src/formats/byte-source.ts';
import { openTensors } from '../src/formats/open.ts';
import { serialiseSafetensors } from '../src/formats/safetensors.ts';
import type { TensorFile } from '../src/formats/tensor-file.ts';
import { loadNetwork } from '../src/models/open-model.ts';
import { cardMetadata } from '../src/models/saved-model.ts';
import { presetSpec } from '../src/networks/presets.ts';
import { bytesAllocatedIn } from './support/allocations.ts';
import { mutated } from './support/mutations.ts';
import { randomWeights, tinyCard } from './support/tiny-checkpoint.ts';
import { joinBytes, torchArchive, torchStateDict } from './support/torch-writer.ts';

const CASES = Number(process.env.UDIT_FUZZ_CASES ?? 400);
const MEGABYTE = 2 ** 20;
/** What may be allocated and read for a file. */
const allowedBytes = (fileBytes: number): number => 16 * fileBytes + 64 * MEGABYTE;

const fixture = (path: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`fixtures/${path}`, import.meta.url)));

/** A model with few tensors. */
const spec = presetSpec('DiT-S/8', { inputSize: 16, width: 16, heads: 2, depth: 1, numClasses: 3 });
const weights = randomWeights(spec, 1);
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

/** Runs the cases of one file, and counts what came of them. */
async function fuzz(
  name: string,
  damage: (number: number) => Uint8Array,
  check: (read: Read) => void,
): Promise<{ readonly refused: number; readonly read: number; readonly problems: number }> {
  const problems = new Set<string>();
  let [refused, read] = [0, 0];
  for (let number = 0; number < CASES; number++) {
    const bytes = damage(number);
    try {
      let outcome = {} as Read | CheckpointError;
      const allocated = await bytesAllocatedIn(async () => {
        outcome = await outcomeOf(bytes);
      });
      expect(allocated).toBeLessThanOrEqual(allowedBytes(bytes.length));
      if (outcome instanceof CheckpointError) {
        refused++;
        problems.add(outcome.problem.replace(/[\d"[\],]+/g, '#'));
      } else {
        read++;
        check(outcome);
      }
    } catch (error) {
      throw new Error(`case ${number} of ${name}: ${(error as Error).message}`, { cause: error });
    }
  }
  return { refused, read, problems: problems.size };
}

const key = randomKey(2026);

describe('archives of PyTorch', () => {
  test.each(Object.entries(ARCHIVES))('%s', async (name, bytes) => {
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
