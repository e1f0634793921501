/** @file `udit encode`: pictures to shards of latents, shard by shard, so that it can be stopped and repeated. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { ConfigError } from '../../core/errors.ts';
import { type ImageSize, writtenImageSize } from '../../core/image-size.ts';
import type { LatentSpace } from '../../core/image-space.ts';
import {
  LATENTS_FILE,
  LATENTS_FORMAT,
  type LatentCard,
  type LatentsFile,
  type ShardCard,
} from '../../data/datasets/latents/latent-card.ts';
import { measuredSpace } from '../../data/datasets/latents/latent-conventions.ts';
import {
  measureShards,
  openShard,
  readShardNames,
  shardCard,
} from '../../data/datasets/latents/shards-node.ts';
import type { Background } from '../../data/images/background.ts';
import type { CompileCache } from '../../engine/compile/cache.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import { removeLeftoverTemporaries, writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import { sha256OfFile } from '../../host/files/digest-node.ts';
import { withLock } from '../../host/files/lock-file-node.ts';
import { expectRoomIn, makeFolder } from '../../host/files/make-folder-node.ts';
import { nameIn } from '../../models/open-autoencoder-node.ts';
import type { UsableAutoencoder } from '../../models/saved-model.ts';
import { weightsHash } from '../../models/weights-hash-node.ts';
import { encodeShard, PICTURE_AND_MIRROR, type WrittenShard } from './encode-shard-node.ts';
import { compileEncoder, latentBytes } from './latent-encoder.ts';
import type { PictureFiles } from './picture-files.ts';

export interface EncodeOptions {
  readonly source: PictureFiles;
  /** A folder for the shards; made if it is not there. */
  readonly out: string;
  readonly autoencoder: UsableAutoencoder;
  /** Where it lies, as it was named: what decodes the latents is looked for there. */
  readonly autoencoderPath?: string | undefined;
  /** Pictures are cropped to it. */
  readonly size: ImageSize;
  readonly background?: Background;
  /** Black and white as the autoencoder is given them. Default: as it was trained. */
  readonly pictureRange?: readonly [black: number, white: number] | undefined;
  /** Pictures of a shard. */
  readonly shardSize?: number;
  readonly backend: Backend;
  /** Runs of the encoder at once. */
  readonly workers: number;
  readonly cache?: CompileCache | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly observer?: EncodeObserver;
}

export interface EncodeObserver {
  /** Pictures done of all, and those that this call found done. */
  onProgress?(done: number, total: number, resumed: number): void;
  /** A picture that cannot be read, once its shard is written. */
  onUnreadable?(name: string, reason: string): void;
}

export interface EncodeResult extends Pick<LatentsFile, 'shards' | 'unreadable'> {
  /** Of all shards, and those among them that were there before. */
  readonly pictures: number;
  readonly resumed: number;
}

const SHARD_SIZE = 2048;

const ELSEWHERE = { fix: 'name another folder, which you may write, with --out' };

/**
 * Encodes all pictures of a source, and their mirror images. A shard that is there already is taken as it is, so the same
 * call goes on where an earlier one was stopped.
 *
 * @throws ConfigError if the folder holds latents of other pictures or settings
 * @throws DataError if a shard is damaged or cannot be written, or the disk has no room for all
 */
export async function encodePictures(options: EncodeOptions): Promise<EncodeResult> {
  const { out, signal } = options;
  await makeFolder(out, ELSEWHERE);
  return withLock(join(out, '.encoding.lock'), { signal }, () => encodeAlone(options));
}

async function encodeAlone(options: EncodeOptions): Promise<EncodeResult> {
  const {
    source,
    out,
    autoencoder,
    size,
    background = 'white',
    backend,
    workers,
    observer,
    signal,
  } = options;
  const { shardSize = SHARD_SIZE } = options;
  await removeLeftoverTemporaries(out);
  const total = source.names.length;
  const shards = Math.ceil(total / shardSize);
  const card = await cardOf(options);
  const pictureRange = options.pictureRange ?? autoencoder.network.pictureRange;
  await expectOwnFolder(out);
  let encoder: Awaited<ReturnType<typeof compileEncoder>> | undefined;
  const written: WrittenShard[] = [];
  let done = 0;
  let resumed = 0;
  try {
    for (let shard = 0; shard < shards; shard++) {
      signal?.throwIfAborted();
      const first = shard * shardSize;
      const count = Math.min(shardSize, total - first);
      const path = join(out, shardName(shard));
      const expected = { card, shard, shards };
      const before = await finishedShard(path, expected, source.names.slice(first, first + count));
      if (before !== undefined) {
        written.push(before);
        done += count;
        resumed += before.pictures;
        observer?.onProgress?.(done, total, resumed);
        continue;
      }
      if (encoder === undefined) {
        const bytes = PICTURE_AND_MIRROR * (total - done) * latentBytes(autoencoder.network, size);
        await expectRoomIn(out, bytes, ELSEWHERE);
      }
      encoder ??= await compileEncoder(autoencoder, {
        size,
        batch: PICTURE_AND_MIRROR,
        backend,
        // A device that is one runs one batch at a time.
        workers: backend.machine === undefined ? undefined : workers,
        cache: options.cache,
      });
      const encoded = await encodeShard(path, { first, count }, expected, {
        ...{ source, encoder, size, pictureRange, background, workers, signal },
        onPicture: () => observer?.onProgress?.(++done, total, resumed),
      });
      for (const { name, reason } of encoded.unreadable) observer?.onUnreadable?.(name, reason);
      written.push(encoded);
    }
  } finally {
    await encoder?.release();
  }
  const list: LatentsFile = {
    format: LATENTS_FORMAT,
    card: await withMeasuredSpace(
      card,
      written.map((_, shard) => join(out, shardName(shard))),
    ),
    ...(options.autoencoderPath === undefined ? {} : { autoencoderPath: options.autoencoderPath }),
    shards: written.map(({ pictures, bytes, sha256 }, shard) => ({
      file: shardName(shard),
      ...{ pictures, bytes, sha256 },
    })),
    unreadable: written.flatMap(({ unreadable }) => unreadable),
  };
  await writeFileAtomic(join(out, LATENTS_FILE), [
    new TextEncoder().encode(`${JSON.stringify(list, null, 1)}\n`),
  ]);
  const pictures = written.reduce((sum, each) => sum + each.pictures, 0);
  return { shards: list.shards, unreadable: list.unreadable, pictures, resumed };
}

async function cardOf({
  source,
  autoencoder,
  size,
  background = 'white',
  pictureRange,
}: EncodeOptions): Promise<LatentCard> {
  const { card, network, weights } = autoencoder;
  const space: LatentSpace = {
    ...card.space,
    autoencoder: nameIn(card),
    ...(pictureRange === undefined || isDeepStrictEqual(pictureRange, network.pictureRange)
      ? {}
      : { pictureRange }),
  };
  return {
    space,
    autoencoderHash: await weightsHash(weights),
    pictures: { imageSize: writtenImageSize(size), crop: 'center', orientation: 'follow', background },
    classNames: [...source.classNames],
  };
}

/**
 * The latents of a variational autoencoder that says nothing of their scale are brought to mean 0 and deviation 1 in each
 * channel, as diffusion models expect them. The shards hold what the autoencoder gave.
 */
async function withMeasuredSpace(card: LatentCard, shards: readonly string[]): Promise<LatentCard> {
  const { scale, shift, factor } = card.space;
  if (scale !== 1 || shift !== 0) return card;
  const statistics = await measureShards(shards);
  if (statistics === undefined) return card;
  const measured = measuredSpace(statistics, factor);
  return { ...card, space: { ...card.space, scale: measured.scale, shift: measured.shift } };
}

const shardName = (shard: number): string => `shard-${String(shard).padStart(5, '0')}.safetensors`;

async function expectOwnFolder(out: string): Promise<void> {
  const foreign = (await readdir(out)).find(
    (name) => !name.startsWith('.') && name !== LATENTS_FILE && !/^shard-\d{5}\.safetensors$/.test(name),
  );
  if (foreign === undefined) return;
  throw new ConfigError({
    where: out,
    problem: `there is ${foreign} in it, which is no shard of latents`,
    fix: 'name an empty folder with --out',
  });
}

/** A shard that an earlier call has written; undefined where there is none. */
async function finishedShard(
  path: string,
  expected: Omit<ShardCard, 'unreadable'>,
  names: readonly string[],
): Promise<WrittenShard | undefined> {
  if (!existsSync(path)) return undefined;
  const shard = await openShard(path);
  const { unreadable, ...found } = shardCard(shard);
  const left = new Set(unreadable.map(({ name }) => name));
  const kept = names.filter((name) => !left.has(name));
  const difference =
    whatDiffers(found, expected) ??
    (isDeepStrictEqual(await readShardNames(shard), kept) ? undefined : 'list of pictures');
  if (difference !== undefined) {
    throw new ConfigError({
      where: path,
      problem: `it exists already, with another ${difference}`,
      fix: 'name another folder with --out, or remove this one',
    });
  }
  return { pictures: kept.length, bytes: shard.bytes, sha256: await sha256OfFile(path), unreadable };
}

/** In the words of the command line; undefined where nothing differs. */
function whatDiffers(
  { card: found, ...place }: Omit<ShardCard, 'unreadable'>,
  { card, ...expectedPlace }: Omit<ShardCard, 'unreadable'>,
): string | undefined {
  const parts: [string, unknown, unknown][] = [
    ['autoencoder', found.autoencoderHash, card.autoencoderHash],
    ['image size', found.pictures.imageSize, card.pictures.imageSize],
    ['background', found.pictures.background, card.pictures.background],
    ['range of pictures', found.space.pictureRange, card.space.pictureRange],
    ['list of classes', found.classNames, card.classNames],
    ['number of shards', place, expectedPlace],
    ['version', found, card],
  ];
  return parts.find(([, before, now]) => !isDeepStrictEqual(before, now))?.[0];
}
