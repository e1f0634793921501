/** @file Datasets of labelled pictures, and the batches a training step takes from them. */
import { ConfigError, DataError, ShapeError } from '../../core/errors.ts';
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import { fold, type RandomKey } from '../../core/random.ts';

// N batch · C H W picture

/** Labelled pictures, addressed by index. Reading is random access, so that an order can be resumed anywhere. */
export interface Dataset {
  readonly name: string;
  readonly classNames: readonly string[];
  /** Height and width of every picture, in pixels. */
  readonly imageSize: number;
  readonly channels: number;
  readonly length: number;
  /** The class of each picture, an index into {@link classNames}. */
  readonly labels: ArrayLike<number>;
  /** A name per picture that survives reordering and additions: what a held-out split is decided by. */
  readonly sampleNames: readonly string[];
  /**
   * Writes picture `index` into `out` as C·H·W values in [-1, 1].
   *
   * @param key - drives the augmentation; null reads the picture as it is
   */
  read(index: number, key: RandomKey | null, out: Float32Array): void | Promise<void>;
}

export interface Batch {
  /** Pictures, `f32[N,C,H,W]` in [-1, 1]. */
  readonly x: HostTensor<'f32'>;
  /** Their classes, `i64[N]`. */
  readonly y: HostTensor<'i64'>;
}

/** What augmentation is drawn from. Each picture gets its own key by its position, however batches are cut. */
export interface Augmentation {
  readonly key: RandomKey;
  /** Number of training pictures seen before the first one of the batch. */
  readonly nimg: number;
}

/**
 * Reads the pictures at `indices`, in that order.
 *
 * @param augmentation - null reads them as they are, as evaluation does
 * @throws {@link DataError} for an index outside the dataset
 */
export async function loadBatch(
  dataset: Dataset,
  indices: ArrayLike<number>,
  augmentation: Augmentation | null,
): Promise<Batch> {
  const { channels, imageSize } = dataset;
  const count = indices.length;
  const valuesPerImage = channels * imageSize * imageSize;
  const x = new Float32Array(count * valuesPerImage);
  const y = new BigInt64Array(count);
  const pending: Promise<void>[] = [];
  for (let i = 0; i < count; i++) {
    const index = indices[i]!;
    checkIndex(dataset, index);
    const key = augmentation === null ? null : fold(augmentation.key, augmentation.nimg + i);
    const reading = dataset.read(index, key, x.subarray(i * valuesPerImage, (i + 1) * valuesPerImage));
    if (reading !== undefined) pending.push(reading);
    y[i] = BigInt(dataset.labels[index]!);
  }
  await Promise.all(pending);
  return {
    x: hostTensor('f32', [count, channels, imageSize, imageSize], x),
    y: hostTensor('i64', [count], y),
  };
}

/** The pictures of `dataset` at `indices`, as a dataset of their own. Nothing is copied but labels and names. */
export function subset(dataset: Dataset, indices: readonly number[], name: string): Dataset {
  for (const index of indices) checkIndex(dataset, index);
  return {
    name,
    classNames: dataset.classNames,
    imageSize: dataset.imageSize,
    channels: dataset.channels,
    length: indices.length,
    labels: Int32Array.from(indices, (index) => dataset.labels[index]!),
    sampleNames: indices.map((index) => dataset.sampleNames[index]!),
    read: (index, key, out) => dataset.read(indices[index]!, key, out),
  };
}

/** How many pictures each class has, in the order of `classNames`. */
export function countPerClass(dataset: Pick<Dataset, 'classNames' | 'labels'>): number[] {
  const counts = new Array<number>(dataset.classNames.length).fill(0);
  for (let i = 0; i < dataset.labels.length; i++) counts[dataset.labels[i]!]!++;
  return counts;
}

/** Stops a `read` into a buffer of the wrong size, which would otherwise shift every later picture of the batch. */
export function checkReadBuffer(
  dataset: Pick<Dataset, 'name' | 'channels' | 'imageSize'>,
  out: Float32Array,
): void {
  const { channels, imageSize } = dataset;
  const expected = channels * imageSize * imageSize;
  if (out.length !== expected) {
    throw new ShapeError({
      where: `read from ${dataset.name}`,
      problem: `a picture has ${expected} values [${channels},${imageSize},${imageSize}], the buffer ${out.length}`,
    });
  }
}

const MIN_IMAGE_SIZE = 8;

/** Refuses a picture size, in pixels, that no model takes and no memory holds. */
export function checkImageSize(where: string, imageSize: number, largest: number): void {
  if (Number.isInteger(imageSize) && imageSize >= MIN_IMAGE_SIZE && imageSize <= largest) return;
  throw new ConfigError({
    where,
    problem: `the image size is ${imageSize}`,
    fix: `use a whole number from ${MIN_IMAGE_SIZE} to ${largest}, such as 32, 64 or 256`,
  });
}

function checkIndex(dataset: Dataset, index: number): void {
  if (Number.isInteger(index) && index >= 0 && index < dataset.length) return;
  throw new DataError({
    where: dataset.name,
    problem: `there is no picture ${index}: the dataset has ${dataset.length}`,
    fix: `use indices from 0 to ${dataset.length - 1}`,
  });
}
