/** @file Latents in safetensors shards of some thousand pictures: those of udit, and those of LightningDiT. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import { CheckpointError, DataError } from '../../../core/errors.ts';
import type { LatentSpace } from '../../../core/image-space.ts';
import { formatShape, sameShape } from '../../../core/shape.ts';
import { openTensorFile } from '../../../formats/file-node.ts';
import { openSafetensors, type SafetensorsSource } from '../../../formats/safetensors.ts';
import { sha256OfFile } from '../../../host/files/digest-node.ts';
import { parseJson } from '../../../host/files/read-json-node.ts';
import { numberedClasses } from './label-classes.ts';
import {
  LATENTS_FILE,
  LATENTS_FORMAT,
  type LatentsFile,
  latentsSchema,
  type ShardCard,
  shardSchema,
} from './latent-card.ts';
import { measuredSpace } from './latent-conventions.ts';
import { type LatentStatistics, latentStatistics } from './latent-statistics.ts';
import type { LatentStore } from './latent-store.ts';
import type { OpenedLatents } from './opened-latents.ts';
import { fileSource } from './stored-files-node.ts';

export interface Shard extends SafetensorsSource {
  readonly path: string;
  /** Of the file. */
  readonly bytes: number;
  /** Shape of its tensor of latents. */
  readonly shape: readonly [pictures: number, channels: number, height: number, width: number];
}

/** @throws DataError if the shards are of several kinds or sizes, or an encoding has not been finished */
export async function openShards(root: string, files: readonly string[]): Promise<OpenedLatents> {
  const first = await openShard(files[0]!);
  return first.metadata.format === LATENTS_FORMAT ? openOwn(root, files) : openLightning(root, files);
}

/** @throws DataError if the file is damaged, or holds no latents */
export async function openShard(path: string): Promise<Shard> {
  const source = await fileSource(path);
  const file = await openSafetensors(source, path).catch((cause) => {
    if (!(cause instanceof CheckpointError)) throw cause;
    const fix = 'copy it again, or remove it and encode again: the other shards stay';
    throw new DataError({ where: path, problem: cause.problem, fix, cause });
  });
  const name = file.metadata.format === LATENTS_FORMAT ? 'mean' : 'latents';
  const shape = file.infos.get(name)?.shape ?? [];
  if (shape.length !== 4 || !file.infos.has('labels')) {
    throw new DataError({
      where: path,
      problem: `it has ${[...file.infos].map(([key, info]) => `${key} ${formatShape(info.shape)}`).join(', ') || 'no tensors'}; ${name} [N, C, H, W] and labels [N] are needed`,
      fix: 'give shards of latents, as udit encode or LightningDiT write them',
    });
  }
  return { ...file, path, bytes: source.size, shape: shape as unknown as Shard['shape'] };
}

/** Rows of all shards, one after another. */
class Rows {
  readonly count: number;
  readonly pictureShape: readonly [channels: number, height: number, width: number];
  readonly shards: readonly Shard[];
  /** Of the first row of each shard. */
  private readonly begins: readonly number[];

  constructor(root: string, shards: readonly Shard[]) {
    const [, ...shape] = shards[0]!.shape;
    const begins: number[] = [];
    let count = 0;
    for (const shard of shards) {
      const [pictures, ...other] = shard.shape;
      if (!sameShape(shape, other)) {
        throw new DataError({
          where: root,
          problem: `latents of several sizes: ${formatShape(shape)} in ${basename(shards[0]!.path)}, ${formatShape(other)} in ${basename(shard.path)}`,
          fix: 'keep latents of one size in a folder of their own',
        });
      }
      begins.push(count);
      count += pictures;
    }
    if (count === 0) {
      throw new DataError({
        where: root,
        problem: 'there are no pictures in its shards',
        fix: 'encode some',
      });
    }
    this.shards = shards;
    this.begins = begins;
    this.count = count;
    this.pictureShape = shape as [number, number, number];
  }

  /** Writes a picture's row of each named tensor into `out`, one after another. */
  async read(index: number, names: readonly string[], out: Float32Array): Promise<void> {
    const at = this.begins.findLastIndex((begin) => begin <= index);
    const shard = this.shards[at]!;
    const row = index - this.begins[at]!;
    let offset = 0;
    for (const name of names) {
      const { data } = await shard.readRows(name, row, 1);
      out.set(data as Float32Array, offset);
      offset += data.length;
    }
  }

  /** Is this tensor in all shards? */
  has(name: string): boolean {
    return this.shards.every(({ infos }) => infos.has(name));
  }

  async labels(): Promise<Int32Array> {
    const labels = new Int32Array(this.count);
    for (const [at, shard] of this.shards.entries()) {
      const { data } = await shard.read('labels');
      if (data.length !== shard.shape[0]) {
        throw new DataError({
          where: shard.path,
          problem: `${data.length} labels do not match ${shard.shape[0]} pictures`,
          fix: 'encode them again',
        });
      }
      labels.set(Int32Array.from(data as ArrayLike<number>, Number), this.begins[at]);
    }
    return labels;
  }
}

async function openAll(root: string, files: readonly string[]): Promise<Rows> {
  const shards: Shard[] = [];
  for (const file of files) shards.push(await openShard(file));
  return new Rows(root, shards);
}

// LightningDiT

/** Means and deviations of their channels, [1, C, 1, 1] each, as `mean` and `std`. */
export const LIGHTNING_STATISTICS = 'latents_stats.pt';
/** Sides of a picture / sides of the latent of VA-VAE, which has 32 channels. */
const VA_VAE = { channels: 32, factor: 16 };
const USUAL_FACTOR = 8;
/** So many pictures are what LightningDiT looks at. */
export const PICTURES_FOR_STATISTICS = 10_000;

async function openLightning(root: string, files: readonly string[]): Promise<OpenedLatents> {
  const rows = await openAll(root, files);
  const labels = await rows.labels();
  const shape = rows.pictureShape;
  const hasMirrored = rows.has('latents_flip');
  const stored = {
    ...({ name: root, shape, values: 'samples', isScaled: false, hasMirrored, labels } as const),
    classNames: numberedClasses(labels, root),
    sampleNames: rows.shards.flatMap(({ path, shape: [count] }) =>
      Array.from({ length: count }, (_, row) => `${basename(path, '.safetensors')}/${row}`),
    ),
    read: (index: number, mirrored: boolean, out: Float32Array) =>
      rows.read(index, [mirrored ? 'latents_flip' : 'latents'], out),
  } satisfies Partial<LatentStore>;
  const factor = shape[0] === VA_VAE.channels ? VA_VAE.factor : USUAL_FACTOR;
  const { space, told } = await normalisationOf(root, stored, factor);
  return { layout: 'LightningDiT', store: { ...stored, space }, told, warnings: [] };
}

async function normalisationOf(
  root: string,
  stored: Parameters<typeof latentStatistics>[0],
  factor: number,
): Promise<{ space: LatentSpace; told: string }> {
  const path = join(root, LIGHTNING_STATISTICS);
  if (!existsSync(path)) {
    const statistics = await latentStatistics(stored, PICTURES_FOR_STATISTICS);
    const told = `samples, scaled by channel means and deviations of ${statistics.pictures} of them: there is no ${LIGHTNING_STATISTICS}`;
    return { space: measuredSpace(statistics, factor), told };
  }
  const file = await openTensorFile(path);
  try {
    const [means, deviations] = await Promise.all(
      ['mean', 'std'].map(async (name) => {
        const values = file.infos.has(name) ? Array.from((await file.read(name)).data, Number) : [];
        if (values.length === stored.shape[0]) return values;
        throw new DataError({
          where: path,
          problem: `${name} has ${values.length} values, the latents have ${stored.shape[0]} channels`,
          fix: 'remove the file, and the statistics are computed anew',
        });
      }),
    );
    const space = measuredSpace({ means: means!, deviations: deviations! }, factor);
    return { space, told: `samples, scaled by the channel means and deviations of ${LIGHTNING_STATISTICS}` };
  } finally {
    await file.close();
  }
}

// Those of udit

async function openOwn(root: string, files: readonly string[]): Promise<OpenedLatents> {
  const list = await readLatentsFile(root);
  if (list === undefined) {
    const { shards } = shardCard(await openShard(files[0]!));
    throw new DataError({
      where: root,
      problem: `the encoding has not been finished: ${files.length} of ${shards} shards are there`,
      fix: `run the same udit encode again; it goes on where it was stopped`,
    });
  }
  const rows = await openAll(
    root,
    list.shards.map(({ file }) => join(root, file)),
  );
  const total = list.shards.reduce((bytes, shard) => bytes + shard.bytes, 0);
  const sampleNames: string[] = [];
  for (const [at, shard] of rows.shards.entries()) {
    expectListed(shard, list, at);
    if (total <= HASHED_BYTES) await expectHash(shard.path, list.shards[at]!.sha256);
    sampleNames.push(...(await readShardNames(shard)));
  }
  const labels = await rows.labels();
  const { card, autoencoderPath } = list;
  const space: LatentSpace = {
    ...{ ...card.space, autoencoderHash: card.autoencoderHash },
    ...(autoencoderPath === undefined ? {} : { autoencoderPath }),
  };
  const values = rows.has('std') ? 'mean-std' : 'samples';
  const tensors = values === 'mean-std' ? ['mean', 'std'] : ['mean'];
  const store: LatentStore = {
    ...{ name: root, shape: rows.pictureShape, space, values, isScaled: false },
    hasMirrored: rows.has('mean_mirrored'),
    classNames: card.classNames,
    labels,
    sampleNames,
    read: (index, mirrored, out) =>
      rows.read(index, mirrored ? tensors.map((name) => `${name}_mirrored`) : tensors, out),
  };
  const told = `${values === 'samples' ? 'means' : 'means and deviations'} of ${card.space.autoencoder} from pictures of ${card.pictures.imageSize} pixels`;
  return { layout: 'udit', store, told, warnings: [] };
}

/** @returns undefined where there is none */
export async function readLatentsFile(root: string): Promise<LatentsFile | undefined> {
  const path = join(root, LATENTS_FILE);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return v.parse(latentsSchema, parseJson(text));
  } catch (cause) {
    throw new DataError({
      where: path,
      problem: `it does not describe latents: ${(cause as Error).message}`,
      fix: 'the file is damaged, or of a newer udit: encode again, or update udit',
      cause,
    });
  }
}

/** @throws DataError unless a shard says of itself what it is */
export function shardCard({ metadata, path }: Pick<Shard, 'metadata' | 'path'>): ShardCard {
  try {
    return v.parse(shardSchema, JSON.parse(metadata.shard ?? ''));
  } catch (cause) {
    throw new DataError({
      where: path,
      problem: `it does not say what it is: ${(cause as Error).message}`,
      fix: 'the file is damaged, or of a newer udit: remove it and encode again, or update udit',
      cause,
    });
  }
}

/**
 * Mean and deviation of each channel over all latents that a variational autoencoder gives these pictures: the spread of
 * each distribution counts, too. Rows are read one by one.
 *
 * @returns undefined for latents of another autoencoder
 */
export async function measureShards(
  paths: readonly string[],
): Promise<Pick<LatentStatistics, 'means' | 'deviations'> | undefined> {
  let sums = new Float64Array();
  let squares = new Float64Array();
  let count = 0;
  for (const path of paths) {
    const shard = await openShard(path);
    if (!shard.infos.has('std')) return undefined;
    const [pictures, channels, height, width] = shard.shape;
    if (sums.length === 0) [sums, squares] = [new Float64Array(channels), new Float64Array(channels)];
    const area = height * width;
    for (let row = 0; row < pictures; row++) {
      const mean = (await shard.readRows('mean', row, 1)).data as Float32Array;
      const std = (await shard.readRows('std', row, 1)).data as Float32Array;
      mean.forEach((value, i) => {
        const channel = Math.floor(i / area);
        sums[channel]! += value;
        squares[channel]! += value * value + std[i]! * std[i]!;
      });
    }
    count += pictures * area;
  }
  const means = Array.from(sums, (sum) => sum / count);
  return {
    means,
    deviations: means.map((mean, channel) => Math.sqrt(Math.max(0, squares[channel]! / count - mean ** 2))),
  };
}

/** Larger encodings are not read to the end each time: their sizes and headers are checked alone. */
const HASHED_BYTES = 2 ** 30;

async function expectHash(path: string, sha256: string): Promise<void> {
  const found = await sha256OfFile(path);
  if (found === sha256) return;
  throw new DataError({
    where: path,
    problem: `its SHA-256 is ${found.slice(0, 12)}…, but ${LATENTS_FILE} says ${sha256.slice(0, 12)}…`,
    fix: 'the file was damaged or replaced: remove it, and run udit encode again',
  });
}

function expectListed(shard: Shard, list: LatentsFile, at: number): void {
  const { card, shard: number } = shardCard(shard);
  const expected = list.shards[at]!;
  const differences: [string, string, string][] = [
    ['place', String(number), String(at)],
    ['number of bytes', String(shard.bytes), String(expected.bytes)],
    ['pictures', String(shard.shape[0]), String(expected.pictures)],
    ['autoencoder', card.autoencoderHash.slice(0, 12), list.card.autoencoderHash.slice(0, 12)],
    ['classes', String(card.classNames.length), String(list.card.classNames.length)],
    ['image size', String(card.pictures.imageSize), String(list.card.pictures.imageSize)],
  ];
  const [difference] = differences.filter(([, found, listed]) => found !== listed);
  if (difference === undefined) return;
  const [what, found, listed] = difference;
  throw new DataError({
    where: shard.path,
    problem: `its ${what} is ${found}, but ${LATENTS_FILE} says ${listed}`,
    fix: 'keep the shards of each encoding in a folder of their own, or encode again',
  });
}

export async function readShardNames(shard: Pick<SafetensorsSource, 'read'>): Promise<string[]> {
  const { data } = await shard.read('names');
  return JSON.parse(new TextDecoder().decode(data as Uint8Array)) as string[];
}
