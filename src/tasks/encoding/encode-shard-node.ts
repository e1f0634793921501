/** @file One shard of latents: its pictures are decoded, encoded beside their mirror images, and written whole. */
import { createHash } from 'node:crypto';
import pMap from 'p-map';
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import type { ImageSize } from '../../core/image-size.ts';
import { sizeOf } from '../../core/shape.ts';
import { LATENTS_FORMAT, type ShardCard } from '../../data/datasets/latents/latent-card.ts';
import { backgroundColour } from '../../data/images/background.ts';
import { centerCrop } from '../../data/images/center-crop.ts';
import { decodeRgb } from '../../data/images/image-decode-node.ts';
import type { PixelImage } from '../../data/images/pixel-image.ts';
import { writeModelValues } from '../../data/images/pixels.ts';
import { faultOfPicture } from '../../data/images/unreadable-image.ts';
import { serialiseSafetensors } from '../../formats/safetensors.ts';
import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import type { Encoded, LatentEncoder } from './latent-encoder.ts';
import { toRange } from './latent-encoder.ts';
import type { PictureFiles } from './picture-files.ts';

// Z h w latent · C H W picture

export interface ShardWork {
  readonly source: PictureFiles;
  readonly encoder: LatentEncoder;
  readonly size: ImageSize;
  /** Of the pictures as the encoder takes them. */
  readonly pictureRange: readonly [black: number, white: number];
  readonly background: Parameters<typeof backgroundColour>[1];
  /** Runs of the encoder at once. */
  readonly workers: number;
  readonly signal?: AbortSignal | undefined;
  /** Told after each picture that was encoded or cannot be. */
  readonly onPicture?: () => void;
}

export interface WrittenShard {
  readonly pictures: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly unreadable: ShardCard['unreadable'];
}

/** A picture, and its mirror image: a batch of the encoder. */
export const PICTURE_AND_MIRROR = 2;
const CHANNELS = 3;

/** Tensors of a shard, each with a row for each picture that can be read. */
class ShardRows {
  readonly tensors: ReadonlyMap<string, Float32Array>;
  private readonly rowSize: number;

  constructor(rows: number, { latentShape, isVariational }: LatentEncoder) {
    this.rowSize = sizeOf(latentShape);
    const names = isVariational ? ['mean', 'std'] : ['mean'];
    this.tensors = new Map(
      names.flatMap((name) =>
        [name, `${name}_mirrored`].map((each) => [each, new Float32Array(rows * this.rowSize)] as const),
      ),
    );
  }

  /** Takes picture and mirror image from a batch. */
  set(row: number, encoded: Encoded): void {
    for (const [name, values] of this.tensors) {
      const { data } = (name.startsWith('mean') ? encoded.mean : encoded.std)!;
      const from = name.endsWith('_mirrored') ? this.rowSize : 0;
      values.set(data.subarray(from, from + this.rowSize), row * this.rowSize);
    }
  }

  /** Without rows that nothing was written to. */
  keep(rows: readonly number[]): Map<string, Float32Array> {
    return new Map(
      [...this.tensors].map(([name, values]) => {
        for (const [to, from] of rows.entries()) {
          values.copyWithin(to * this.rowSize, from * this.rowSize, (from + 1) * this.rowSize);
        }
        return [name, values.subarray(0, rows.length * this.rowSize)];
      }),
    );
  }
}

/**
 * Encodes pictures `first … first + count - 1` into the file at `path`.
 *
 * @throws DataError if it cannot be written; nothing is left of it then
 */
export async function encodeShard(
  path: string,
  { first, count }: { readonly first: number; readonly count: number },
  card: Omit<ShardCard, 'unreadable'>,
  work: ShardWork,
): Promise<WrittenShard> {
  const { source, encoder, workers, signal } = work;
  const rows = new ShardRows(count, encoder);
  const reasons = new Map<number, string>();
  // While some pictures are encoded, as many are decoded.
  const atOnce = { concurrency: 2 * workers, ...(signal === undefined ? {} : { signal }) };
  await pMap(
    Array.from({ length: count }, (_, row) => row),
    async (row) => {
      const crop = await readCrop(first + row, work).catch((error: unknown) => {
        reasons.set(row, faultOfPicture(error));
      });
      signal?.throwIfAborted();
      if (crop !== undefined) {
        const isMirrored = source.hasMirror?.(first + row) ?? true;
        rows.set(row, await encoder.encode(pictureAndMirror(crop, isMirrored, work)));
      }
      work.onPicture?.();
    },
    atOnce,
  );
  const readable = Array.from({ length: count }, (_, row) => row).filter((row) => !reasons.has(row));
  const unreadable = [...reasons]
    .sort(([a], [b]) => a - b)
    .map(([row, reason]) => ({ name: source.names[first + row]!, reason }));
  const written = { ...card, unreadable };
  const chunks = serialise(
    rows.keep(readable),
    readable.map((row) => first + row),
    source,
    encoder,
    written,
  );
  const hash = createHash('sha256');
  for (const chunk of chunks) hash.update(chunk);
  await writeFileAtomic(path, chunks);
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  return { pictures: readable.length, bytes, sha256: hash.digest('hex'), unreadable };
}

async function readCrop(index: number, { source, size, background }: ShardWork): Promise<PixelImage> {
  const colour = backgroundColour('--background', background);
  const { image } = await decodeRgb(await source.file(index), colour);
  return centerCrop(image, size);
}

function pictureAndMirror(
  crop: PixelImage,
  isMirrored: boolean,
  { size: { height, width }, pictureRange }: ShardWork,
): HostTensor<'f32'> {
  const area = CHANNELS * height * width;
  const values = new Float32Array(PICTURE_AND_MIRROR * area);
  writeModelValues(crop, values.subarray(0, area));
  writeModelValues(crop, values.subarray(area), isMirrored);
  toRange(values, pictureRange);
  return hostTensor('f32', [PICTURE_AND_MIRROR, CHANNELS, height, width], values);
}

function serialise(
  values: ReadonlyMap<string, Float32Array>,
  indices: readonly number[],
  source: PictureFiles,
  { latentShape }: LatentEncoder,
  card: ShardCard,
): Uint8Array[] {
  const names = new TextEncoder().encode(JSON.stringify(indices.map((index) => source.names[index])));
  const labels = BigInt64Array.from(indices, (index) => BigInt(source.labels[index]!));
  const tensors = new Map<string, HostTensor>([
    ...[...values].map(
      ([name, data]) => [name, hostTensor('f32', [indices.length, ...latentShape], data)] as const,
    ),
    ['labels', hostTensor('i64', [indices.length], labels)],
    ['names', hostTensor('u8', [names.length], names)],
  ]);
  return serialiseSafetensors(tensors, { format: LATENTS_FORMAT, shard: JSON.stringify(card) });
}
