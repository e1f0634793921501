/** @file Data sets: labelled samples addressed by index, and the batches that are read from them. */
import { ConfigError, DataError, ShapeError } from '../../core/errors.ts';
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import { formatImageSize, type ImageSize, parseImageSize } from '../../core/image-size.ts';
import type { ImageSpace } from '../../core/image-space.ts';
import { fold, type RandomKey } from '../../core/random.ts';
import { formatShape, sizeOf } from '../../core/shape.ts';

// N batch · C H W sample

/**
 * Labelled samples, pictures or latents. Reading is random access, so that an order can be resumed anywhere.
 */
export interface Samples {
  readonly name: string;
  readonly classNames: readonly string[];
  /** Of every sample. */
  readonly shape: readonly [channels: number, height: number, width: number];
  /** What the values of a sample mean. */
  readonly space: ImageSpace;
  readonly length: number;
  /** The class of each sample, an index into {@link classNames}. */
  readonly labels: ArrayLike<number>;
  /** A name per sample that survives reordering and additions: the held-out split is decided by it. */
  readonly sampleNames: readonly string[];
  /**
   * Writes sample `index` into `out` as C·H·W values, pixels in [-1, 1]. Reading that fails with
   * {@link UnreadableSample} concerns this sample alone.
   *
   * @param key - drives the augmentation; null reads the sample as it is
   */
  read(index: number, key: RandomKey | null, out: Float32Array): void | Promise<void>;
}

/** One sample cannot be read; {@link loadBatch} takes another in its place. */
export class UnreadableSample extends DataError {}

export interface Batch {
  /** Samples, `f32[N,C,H,W]`. */
  readonly x: HostTensor<'f32'>;
  /** Their classes, `i64[N]`. */
  readonly y: HostTensor<'i64'>;
}

/** A batch as it was read. */
export interface LoadedBatch extends Batch {
  /** Which samples these are; another than was asked for stands in the place of one that cannot be read. */
  readonly indices: Int32Array;
}

/** What augmentation is drawn from. Each sample gets its own key by its position, however batches are cut. */
export interface Augmentation {
  readonly key: RandomKey;
  /** Number of training samples seen before the first one of the batch. */
  readonly nimg: number;
}

/**
 * Reads the samples at `indices`, in that order. The place of an unreadable one is taken by the next of its class among
 * these `samples`, never by one outside of them; in evaluation, where its class has no other, by the next of any class.
 *
 * @param augmentation - null reads them as they are, as evaluation does
 * @throws {@link DataError} for an index outside the samples, and if none can take the place of an unreadable one
 */
export async function loadBatch(
  samples: Samples,
  indices: ArrayLike<number>,
  augmentation: Augmentation | null,
): Promise<LoadedBatch> {
  const count = indices.length;
  const valuesPerSample = sizeOf(samples.shape);
  const x = new Float32Array(count * valuesPerSample);
  const taken = Int32Array.from(indices);
  const pending: Promise<void>[] = [];
  taken.forEach((index, i) => {
    checkIndex(samples, index);
    const key = augmentation === null ? null : fold(augmentation.key, augmentation.nimg + i);
    const out = x.subarray(i * valuesPerSample, (i + 1) * valuesPerSample);
    const reading = samples.read(index, key, out)?.catch(async (error: unknown) => {
      if (!(error instanceof UnreadableSample)) throw error;
      taken[i] = await readAnother(samples, index, key, out, error);
    });
    if (reading !== undefined) pending.push(reading);
  });
  await allSettled(pending);
  return {
    x: hostTensor('f32', [count, ...samples.shape], x),
    y: hostTensor(
      'i64',
      [count],
      BigInt64Array.from(taken, (index) => BigInt(samples.labels[index]!)),
    ),
    indices: taken,
  };
}

/** Waits for all, also where one fails: nothing goes on in the background. */
async function allSettled(pending: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(pending)).find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
}

/** Reads the first sample after `index` that can be read, and says which it is. It depends on the samples alone. */
async function readAnother(
  samples: Samples,
  index: number,
  key: RandomKey | null,
  out: Float32Array,
  failure: UnreadableSample,
): Promise<number> {
  const { length, labels } = samples;
  // A training that took another class would go on without this one, and the model would offer to draw it all the same.
  for (const sameClass of key === null ? [true, false] : [true]) {
    for (let offset = 1; offset < length; offset++) {
      const candidate = (index + offset) % length;
      if ((labels[candidate] === labels[index]) !== sameClass) continue;
      try {
        await samples.read(candidate, key, out);
        return candidate;
      } catch (error) {
        if (!(error instanceof UnreadableSample)) throw error;
      }
    }
  }
  throw new DataError({
    where: samples.name,
    problem: `no picture of class ${samples.classNames[labels[index]!]} can be read`,
    facts: [[samples.sampleNames[index]!, failure.problem]],
    fix: 'mend these files, or put others into the folder of the class',
    cause: failure,
  });
}

/** The samples at `indices`, as a data set of their own. Nothing is copied but labels and names. */
export function subset(samples: Samples, indices: readonly number[], name: string): Samples {
  for (const index of indices) checkIndex(samples, index);
  return {
    name,
    classNames: samples.classNames,
    shape: samples.shape,
    space: samples.space,
    length: indices.length,
    labels: Int32Array.from(indices, (index) => samples.labels[index]!),
    sampleNames: indices.map((index) => samples.sampleNames[index]!),
    read: (index, key, out) => samples.read(indices[index]!, key, out),
  };
}

/** How many samples each class has, in the order of `classNames`. */
export function countPerClass({ classNames, labels }: Pick<Samples, 'classNames' | 'labels'>): number[] {
  const counts = new Array<number>(classNames.length).fill(0);
  for (let i = 0; i < labels.length; i++) counts[labels[i]!]!++;
  return counts;
}

/** Stops a `read` into a buffer of the wrong size, which would otherwise shift every later sample of the batch. */
export function checkReadBuffer({ name, shape }: Pick<Samples, 'name' | 'shape'>, out: Float32Array): void {
  if (out.length === sizeOf(shape)) return;
  throw new ShapeError({
    where: `read from ${name}`,
    problem: `a picture has ${sizeOf(shape)} values ${formatShape(shape)}, the buffer ${out.length}`,
  });
}

const MIN_SIDE = 8;

/**
 * Reads the size of pictures as options give it: `32`, or height and width as in `'48x32'`.
 *
 * @throws ConfigError for sides that no model takes or no memory holds
 */
export function readImageSize(where: string, imageSize: number | string, largestSide: number): ImageSize {
  const size = parseImageSize(imageSize, where);
  if (Math.min(size.height, size.width) >= MIN_SIDE && Math.max(size.height, size.width) <= largestSide) {
    return size;
  }
  throw new ConfigError({
    where,
    problem: `the image size is ${formatImageSize(size)}`,
    fix: `use a whole number from ${MIN_SIDE} to ${largestSide}, such as 32, 64 or 256`,
  });
}

function checkIndex({ name, length }: Samples, index: number): void {
  if (Number.isInteger(index) && index >= 0 && index < length) return;
  throw new DataError({
    where: name,
    problem: `there is no picture ${index}: the dataset has ${length}`,
    fix: `use indices from 0 to ${length - 1}`,
  });
}
