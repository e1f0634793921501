/**
 * @file What metrics need of a set of pictures, collected in one pass. It is kept in parts of some hundred pictures, so that
 * a killed run loses none that is whole: nothing is drawn or extracted twice.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DataError } from '../../core/errors.ts';
import { type HostTensor, hostTensor, type TensorMap } from '../../core/host-tensor.ts';
import { fold, randomKey } from '../../core/random.ts';
import { forEachConcurrently } from '../../data/datasets/preparation-node.ts';
import { imageAt } from '../../data/images/pixels.ts';
import { cacheFolder } from '../../host/files/cache-folder-node.ts';
import { type FeatureRows, rowsFrom } from '../../metrics/feature-rows.ts';
import type { ClassSums } from '../../metrics/inception-score.ts';
import { type FeatureSet, joined } from '../../metrics/matrix-product.ts';
import { FeatureMoments } from '../../metrics/moments.ts';
import { COARSEST, patchDescriptors, pyramidPatches } from '../../metrics/patches.ts';
import type { Extracted, Extractor } from './extractor.ts';
import { FORGETFUL, openPartStore, PART, type PartStore } from './part-store-node.ts';
import type { PictureSource } from './picture-source.ts';

// N pictures · D features

export interface CollectOptions {
  /** Leave it out where no metric needs features. */
  readonly extractor?: { readonly identity: unknown; readonly network: Extractor } | undefined;
  /** Patches for SWD as well? */
  readonly patches: boolean;
  /** The features of every picture, beside their mean and covariance? Default: no. */
  readonly rows?: boolean;
  /** Features of more bytes are read from the parts when they are needed. Default 128 MB. */
  readonly heldBytes?: number;
  /** What the classes of the pictures are added to, for the Inception Score. */
  readonly classes?: ((count: number, classes: number) => ClassSums) | undefined;
  /** Where parts are kept; by default the folder `features` of the cache, null keeps nothing. */
  readonly folder?: string | null | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told how many pictures are done. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Collected {
  readonly count: number;
  /** Of every picture, where they are asked for. */
  readonly features: FeatureRows | undefined;
  readonly classes: ClassSums | undefined;
  /** Of outputs whose mean and covariance alone are needed. */
  readonly moments: ReadonlyMap<string, FeatureMoments>;
  /** Descriptors of each level of a pyramid. */
  readonly patches: readonly FeatureSet[] | undefined;
  /** A hash of the pixels of each picture, in hexadecimal. */
  readonly digests: readonly string[];
  /** Pictures whose pixels are all the same. */
  readonly constant: number;
  /** SHA-256 of all pictures in their order. */
  readonly hash: string;
  /** How many were there from an earlier run. */
  readonly found: number;
}

const HELD_BYTES = 128 * 1024 * 1024;
/** Patches of a level in all: their memory is that of a few thousand pictures' features. */
const MOST_PATCHES = 32_768;
const MOST_PER_PICTURE = 64;
const DIGEST_BYTES = 16;
/** Places of patches are the same in every run. */
const PATCH_KEY = fold(randomKey(0), 'patches');

/**
 * @throws DataError if a part cannot be written
 */
export async function collect(source: PictureSource, options: CollectOptions): Promise<Collected> {
  const { count } = source;
  const perPicture = options.patches ? patchesPerPicture(source) : 0;
  const parts = await storeFor(source, perPicture, options);
  const collector = new Collector(count, options, parts);
  let found = 0;
  let pictures: Batches | undefined;
  try {
    for (let first = 0; first < count; first += PART) {
      options.signal?.throwIfAborted();
      const size = Math.min(PART, count - first);
      const kept = await parts.read(first);
      if (kept === undefined) {
        pictures ??= new Batches(source, first);
        if (pictures.next !== first) {
          await pictures.close();
          pictures = new Batches(source, first);
        }
        const part = await makePart(await pictures.take(size), first, perPicture, options);
        await parts.write(first, part);
        collector.add(part, first);
      } else {
        found += size;
        collector.add(kept, first);
      }
      options.onProgress?.(first + size, count);
    }
  } finally {
    await pictures?.close();
  }
  return collector.finish(found);
}

function patchesPerPicture({ size, count }: PictureSource): number {
  if (Math.min(size.height, size.width) < COARSEST) return 0;
  return Math.max(1, Math.min(MOST_PER_PICTURE, Math.floor(MOST_PATCHES / count)));
}

/** Pictures in groups of other sizes than those in which they come. */
class Batches {
  next: number;
  private readonly source: PictureSource;
  private readonly stream: AsyncGenerator<HostTensor<'u8'>>;
  private rest: HostTensor<'u8'> | undefined;

  constructor(source: PictureSource, start: number) {
    this.next = start;
    this.source = source;
    this.stream = source.batches(start);
  }

  /** @throws DataError if the source has fewer than it said */
  async take(count: number): Promise<HostTensor<'u8'>> {
    const { height, width } = this.source.size;
    const bytes = height * width * 3;
    const data = new Uint8Array(count * bytes);
    for (let filled = 0; filled < count; ) {
      this.rest ??= (await this.stream.next()).value as HostTensor<'u8'> | undefined;
      if (this.rest === undefined) {
        throw new DataError({
          where: this.source.name,
          problem: `it ends after ${this.next + filled} of ${this.source.count} pictures`,
          fix: 'run the command again when nothing changes it',
        });
      }
      const there = this.rest.shape[0]!;
      const taken = Math.min(there, count - filled);
      data.set(this.rest.data.subarray(0, taken * bytes), filled * bytes);
      this.rest =
        taken === there
          ? undefined
          : hostTensor('u8', [there - taken, height, width, 3], this.rest.data.subarray(taken * bytes));
      filled += taken;
    }
    this.next += count;
    return hostTensor('u8', [count, height, width, 3], data);
  }

  async close(): Promise<void> {
    await this.stream.return(undefined);
  }
}

/** Everything that is kept of a part: outputs of the network, patches of each level, digests, and which are constant. */
async function makePart(
  pictures: HostTensor<'u8'>,
  first: number,
  perPicture: number,
  { extractor }: CollectOptions,
): Promise<TensorMap> {
  const count = pictures.shape[0]!;
  const part = new Map<string, HostTensor>();
  if (extractor !== undefined) {
    for (const [name, tensor] of await extractAll(pictures, extractor.network)) part.set(name, tensor);
  }
  const images = Array.from({ length: count }, (_, i) => imageAt(pictures, i));
  if (perPicture > 0) {
    const patches = images.map((image, i) => {
      const { height, width, data } = image;
      const values = Float32Array.from({ length: data.length }, (_, at) => {
        const [channel, pixel] = [Math.floor(at / (height * width)), at % (height * width)];
        return data[pixel * 3 + channel]!;
      });
      return pyramidPatches({ channels: 3, height, width, values }, fold(PATCH_KEY, first + i), perPicture);
    });
    for (const level of patches[0]!.keys()) {
      const values = joined(patches.map((levels) => levels[level]!));
      part.set(`patches.${level}`, hostTensor('f32', [count, values.length / count], values));
    }
  }
  const digests = images.map(({ data }) =>
    createHash('sha256').update(data).digest().subarray(0, DIGEST_BYTES),
  );
  part.set('digests', hostTensor('u8', [count, DIGEST_BYTES], Uint8Array.from(Buffer.concat(digests))));
  const constant = images.map(({ data }) => (data.every((byte, i) => byte === data[i % 3]) ? 1 : 0));
  part.set('constant', hostTensor('u8', [count], Uint8Array.from(constant)));
  return part;
}

async function extractAll(pictures: HostTensor<'u8'>, network: Extractor): Promise<TensorMap> {
  const [count, height, width] = pictures.shape as [number, number, number];
  const bytes = height * width * 3;
  const starts = Array.from({ length: Math.ceil(count / network.batch) }, (_, i) => i * network.batch);
  const batches: Extracted[] = [];
  // No more of them as floats than can be worked on.
  await forEachConcurrently(starts.length, async (i) => {
    const [start, end] = [starts[i]!, Math.min(starts[i]! + network.batch, count)];
    const shape = [end - start, height, width, 3];
    const part = pictures.data.subarray(start * bytes, end * bytes);
    batches[i] = await network.extract(hostTensor('u8', shape, part));
  });
  return new Map(
    [...network.widths].map(([name, columns]) => {
      const values = joined(batches.map((batch) => batch.get(name)!.data));
      return [name, hostTensor('f32', [count, columns], values)];
    }),
  );
}

async function storeFor(
  source: PictureSource,
  perPicture: number,
  { extractor, folder }: CollectOptions,
): Promise<PartStore> {
  if (folder === null) return FORGETFUL;
  return openPartStore(folder ?? join(cacheFolder(), 'features'), {
    version: 1,
    source: source.identity,
    extractor: extractor?.identity ?? null,
    perPicture,
  });
}

/** Puts parts together, in their order. */
class Collector {
  private readonly count: number;
  private readonly rows: FeatureRows | undefined;
  /** Where the rows are in memory. */
  private readonly held: FeatureSet | undefined;
  private readonly classes: ClassSums | undefined;
  private readonly moments = new Map<string, FeatureMoments>();
  private readonly patches: Float32Array[][] = [];
  private readonly digests: string[] = [];
  private readonly hash = createHash('sha256');
  private constant = 0;

  constructor(
    count: number,
    { extractor, rows = false, heldBytes = HELD_BYTES, classes }: CollectOptions,
    parts: PartStore,
  ) {
    this.count = count;
    const { logits, ...compared } = Object.fromEntries(extractor?.network.widths ?? []);
    for (const [name, width] of Object.entries(compared)) this.moments.set(name, new FeatureMoments(width));
    const width = compared.features;
    if (rows && width !== undefined) {
      const bytes = count * width * Float32Array.BYTES_PER_ELEMENT;
      this.rows = bytes > heldBytes ? parts.rows('features', width, count) : undefined;
      if (this.rows === undefined) {
        this.held = { values: new Float32Array(count * width), width };
        this.rows = rowsFrom(this.held);
      }
    }
    if (logits !== undefined) this.classes = classes?.(count, logits);
  }

  add(part: TensorMap, first: number): void {
    const floats = (name: string) => part.get(name)!.data as Float32Array;
    this.held?.values.set(floats('features'), first * this.held.width);
    this.classes?.add(floats('logits'));
    for (const [name, moments] of this.moments) moments.add(floats(name));
    for (let level = 0; part.has(`patches.${level}`); level++) {
      const earlier = this.patches[level] ?? [];
      this.patches[level] = [...earlier, floats(`patches.${level}`)];
    }
    const bytes = part.get('digests')!.data as Uint8Array;
    this.hash.update(bytes);
    for (let at = 0; at < bytes.length; at += DIGEST_BYTES) {
      this.digests.push(Buffer.from(bytes.subarray(at, at + DIGEST_BYTES)).toString('hex'));
    }
    for (const flag of part.get('constant')!.data as Uint8Array) this.constant += flag;
  }

  finish(found: number): Collected {
    return {
      count: this.count,
      features: this.rows,
      classes: this.classes,
      moments: this.moments,
      patches:
        this.patches.length === 0 ? undefined : this.patches.map((parts) => patchDescriptors(parts, 3)),
      digests: this.digests,
      constant: this.constant,
      hash: this.hash.digest('hex'),
      found,
    };
  }
}
