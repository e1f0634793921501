/** @file Encoded pictures as other programs read them: made from the shards, into a folder beside theirs. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { ConfigError } from '../../core/errors.ts';
import { type HostTensor, hostTensor, tensorOf } from '../../core/host-tensor.ts';
import { fold, type RandomKey, randomKey } from '../../core/random.ts';
import { type Shape, sizeOf } from '../../core/shape.ts';
import type { LatentsFile } from '../../data/datasets/latents/latent-card.ts';
import { latentStatistics } from '../../data/datasets/latents/latent-statistics.ts';
import { type LatentStore, latentSamples } from '../../data/datasets/latents/latent-store.ts';
import {
  LIGHTNING_STATISTICS,
  openShards,
  PICTURES_FOR_STATISTICS,
  readLatentsFile,
} from '../../data/datasets/latents/shards-node.ts';
import { forEachConcurrently } from '../../data/datasets/preparation-node.ts';
import type { Samples } from '../../data/datasets/samples.ts';
import { npyHeader } from '../../formats/npy.ts';
import { serialiseSafetensors } from '../../formats/safetensors.ts';
import { serialiseTorch } from '../../formats/torch-writer.ts';
import { writeFolderAtomic } from '../../host/files/atomic-write-node.ts';
import { withLock } from '../../host/files/lock-file-node.ts';

// C h w latent · N pictures of a shard

export const PUBLIC_LAYOUTS = ['fast-dit', 'u-dit', 'edm2', 'repa', 'lightningdit'] as const;
export type PublicLayout = (typeof PUBLIC_LAYOUTS)[number];

/** Black and white as the programs of a layout give them to the autoencoder; undefined: as it was trained. */
export function rangeOfLayout(layout: PublicLayout): readonly [black: number, white: number] | undefined {
  return layout === 'edm2' ? [0, 1] : undefined;
}

type Write = (name: string, chunks: readonly Uint8Array[]) => Promise<void>;

interface Encoding {
  readonly store: LatentStore;
  readonly list: LatentsFile;
}

const WRITERS: Readonly<Record<PublicLayout, (encoding: Encoding, write: Write) => Promise<void>>> = {
  'fast-dit': writeArrayPairs,
  'u-dit': writeArrayPairs,
  edm2: (encoding, write) => writeDistributions(encoding, '', write),
  repa: (encoding, write) => writeDistributions(encoding, 'vae-sd/', write),
  lightningdit: writeLightning,
};

/** Says which layout of which encoding a folder holds, to go on with. */
const MARK = '.udit-layout';

/**
 * Writes a finished encoding in a public layout, into a folder that is named after both: `latents-edm2` beside `latents`.
 * It is there completely or not at all. One that an earlier call has written from the same shards stays.
 *
 *     await writePublicLayout('fast-dit', 'latents');
 *
 * @param encoded - a folder of {@link encodePictures}, with the picture range of {@link rangeOfLayout}
 * @returns the folder
 * @throws ConfigError if the folder is there with other content
 * @throws DataError if the shards are damaged, or the disk is full
 */
export async function writePublicLayout(
  layout: PublicLayout,
  encoded: string,
  signal?: AbortSignal,
): Promise<string> {
  const out = join(encoded, '..', `${basename(resolve(encoded))}-${layout}`);
  await withLock(join(encoded, '.encoding.lock'), { signal }, async () => {
    const list = (await readLatentsFile(encoded))!;
    const { store } = await openShards(
      encoded,
      list.shards.map(({ file }) => join(encoded, file)),
    );
    const mark = createHash('sha256')
      .update(JSON.stringify([layout, list.card, list.shards]))
      .digest('hex');
    if (existsSync(out)) return expectMark(out, mark);
    await writeFolderAtomic(out, async (write) => {
      await WRITERS[layout]({ store, list }, (name, chunks) => {
        signal?.throwIfAborted();
        return write(name, chunks);
      });
      await write(MARK, [new TextEncoder().encode(mark)]);
    });
  });
  return out;
}

async function expectMark(out: string, mark: string): Promise<void> {
  const found = await readFile(join(out, MARK), 'utf8').catch(() => undefined);
  if (found === mark) return;
  throw new ConfigError({
    where: out,
    problem: `it exists already, ${found === undefined ? 'and was not written by udit' : 'from other latents'}`,
    fix: 'name another folder with --out, or remove this one',
  });
}

/** Each sample is drawn once, with noise that belongs to the picture: the same command writes the same files. */
function keyOf(sampleName: string): RandomKey {
  return fold(randomKey(0), 'layout', sampleName);
}

async function readSample(samples: Samples, index: number, out: Float32Array): Promise<void> {
  await samples.read(index, keyOf(samples.sampleNames[index]!), out);
}

/** fast-DiT and U-DiT: a scaled sample [1, C, h, w] and a label [1] of each picture. */
async function writeArrayPairs({ store, list }: Encoding, write: Write): Promise<void> {
  const samples = latentSamples(store, { flip: false });
  const prefix = `imagenet${list.card.pictures.imageSize}`;
  await forEachConcurrently(samples.length, async (index) => {
    const latent = new Float32Array(sizeOf(store.shape));
    await readSample(samples, index, latent);
    await write(`${prefix}_features/${index}.npy`, npyOf('f32', [1, ...store.shape], latent));
    await write(
      `${prefix}_labels/${index}.npy`,
      npyOf('i64', [1], BigInt64Array.of(BigInt(store.labels[index]!))),
    );
  });
}

/**
 * EDM2 and REPA: means, then deviations, [2·C, h, w] of each picture, and the list of labels. Latents of an autoencoder
 * that is not variational are certain: their deviations are 0.
 */
async function writeDistributions({ store }: Encoding, folder: string, write: Write): Promise<void> {
  const [channels, height, width] = store.shape;
  const shape = [2 * channels, height, width];
  const nameOf = (index: number) => {
    const number = String(index).padStart(8, '0');
    return `${number.slice(0, 5)}/img-mean-std-${number}.npy`;
  };
  await forEachConcurrently(store.labels.length, async (index) => {
    const stored = new Float32Array(sizeOf(shape));
    await store.read(index, false, stored);
    await write(`${folder}${nameOf(index)}`, npyOf('f32', shape, stored));
  });
  const labels = Array.from(store.labels, (label, index) => [nameOf(index), label]);
  await write(`${folder}dataset.json`, [new TextEncoder().encode(JSON.stringify({ labels }))]);
}

/**
 * LightningDiT: samples of each picture and of its mirror image [N, C, h, w], not scaled, with labels [N], and the mean and
 * the deviation of each channel of the pictures' samples.
 */
async function writeLightning({ store, list }: Encoding, write: Write): Promise<void> {
  const unscaled = { ...store, isScaled: true };
  const halves = {
    latents: latentSamples(unscaled, { flip: false }),
    latents_flip: latentSamples(
      { ...unscaled, read: (index, _, out) => store.read(index, true, out) },
      { flip: false },
    ),
  };
  const row = sizeOf(store.shape);
  let first = 0;
  for (const [shard, { pictures }] of list.shards.entries()) {
    const tensors = new Map<string, HostTensor>();
    for (const [name, samples] of Object.entries(halves)) {
      const values = new Float32Array(pictures * row);
      for (let i = 0; i < pictures; i++) {
        await readSample(samples, first + i, values.subarray(i * row, (i + 1) * row));
      }
      tensors.set(name, hostTensor('f32', [pictures, ...store.shape], values));
    }
    const labels = BigInt64Array.from(store.labels.subarray(first, first + pictures), BigInt);
    tensors.set('labels', hostTensor('i64', [pictures], labels));
    await write(
      `latents_rank00_shard${String(shard).padStart(3, '0')}.safetensors`,
      serialiseSafetensors(tensors, {}),
    );
    first += pictures;
  }
  const { means, deviations } = await latentStatistics(
    {
      ...{ shape: store.shape, values: 'samples', labels: store.labels },
      read: (index, _, out) => readSample(halves.latents, index, out),
    },
    PICTURES_FOR_STATISTICS,
  );
  const perChannel = (values: readonly number[]) => tensorOf('f32', [1, values.length, 1, 1], values);
  const statistics = new Map([
    ['mean', perChannel(means)],
    ['std', perChannel(deviations)],
  ]);
  await write(LIGHTNING_STATISTICS, serialiseTorch(statistics));
}

function npyOf(
  dtype: 'f32' | 'i64',
  shape: Shape,
  { buffer, byteOffset, byteLength }: Float32Array | BigInt64Array,
) {
  return [npyHeader(dtype, shape), new Uint8Array(buffer, byteOffset, byteLength)];
}
