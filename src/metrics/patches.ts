/**
 * @file Patches of the levels of Laplacian pyramids, whose sliced Wasserstein distance compares small pictures without any
 * network (Karras et al. 2018, SWD): each level has the details of one scale, the last the coarse rest.
 */
import { ShapeError } from '../core/errors.ts';
import { fold, type RandomKey, randomIntegers } from '../core/random.ts';
import { type FeatureSet, joined } from './matrix-product.ts';
import { slicedWasserstein } from './sliced-wasserstein.ts';

// C channels · H W picture

/** Side of a patch. */
export const PATCH = 7;
/** The shortest side of the coarsest level. */
export const COARSEST = 16;

/** Values of one picture, channel after channel, [C, H, W]. */
export interface Planes {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly values: Float32Array;
}

/** Sides of the levels, finest first. @throws ShapeError if the picture is smaller than the coarsest level may be */
export function pyramidSizes({
  height,
  width,
}: Pick<Planes, 'height' | 'width'>): (readonly [number, number])[] {
  if (Math.min(height, width) < COARSEST) {
    throw new ShapeError({
      where: 'SWD',
      problem: `pictures of ${height}×${width} pixels are smaller than ${COARSEST}`,
      fix: `compare pictures of ${COARSEST} pixels and more`,
    });
  }
  const sizes: (readonly [number, number])[] = [[height, width]];
  for (let [h, w] = [height, width]; ; ) {
    if (h % 2 !== 0 || w % 2 !== 0 || Math.min(h, w) / 2 < COARSEST) return sizes;
    [h, w] = [h / 2, w / 2];
    sizes.push([h, w]);
  }
}

/** Each level is the picture less its coarser half, brought back to its size; the last is the coarsest half. */
export function laplacianPyramid(picture: Planes): Planes[] {
  const levels: Planes[] = [];
  let current = picture;
  for (let rest = pyramidSizes(picture).length - 1; rest > 0; rest--) {
    const half = halved(current);
    const back = doubled(half);
    levels.push({ ...current, values: current.values.map((value, i) => value - back.values[i]!) });
    current = half;
  }
  return [...levels, current];
}

/** Of (1, 4, 6, 4, 1) / 16 along each axis. */
const KERNEL = [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16] as const;

function halved(picture: Planes): Planes {
  const blurred = blur(picture);
  const [height, width] = [picture.height / 2, picture.width / 2];
  const values = new Float32Array(picture.channels * height * width);
  for (let i = 0; i < values.length; i++) {
    const [row, column] = [Math.floor(i / width), i % width];
    values[i] = blurred.values[2 * row * picture.width + 2 * column]!;
  }
  return { channels: picture.channels, height, width, values };
}

function doubled(picture: Planes): Planes {
  const [height, width] = [picture.height * 2, picture.width * 2];
  const values = new Float32Array(picture.channels * height * width);
  for (const [i, value] of picture.values.entries()) {
    const [row, column] = [Math.floor(i / picture.width), i % picture.width];
    // Three of four pixels are empty: four times the value keeps the brightness.
    values[2 * row * width + 2 * column] = 4 * value;
  }
  return blur({ channels: picture.channels, height, width, values });
}

/** The border is mirrored without being repeated. */
function blur(picture: Planes): Planes {
  const { channels, height, width, values } = picture;
  const along = (source: Float32Array, length: number, step: number): Float32Array =>
    source.map((_, i) => {
      const place = Math.floor(i / step) % length;
      return KERNEL.reduce((sum, weight, tap) => {
        const at = mirrored(place + tap - 2, length);
        return sum + weight * source[i + (at - place) * step]!;
      }, 0);
    });
  return { channels, height, width, values: along(along(values, width, 1), height, width) };
}

function mirrored(place: number, length: number): number {
  if (place < 0) return -place;
  return place < length ? place : 2 * (length - 1) - place;
}

/** Patches of each level of a picture, at places that the key chooses: [count, C·7·7] row by row. */
export function pyramidPatches(picture: Planes, key: RandomKey, count: number): Float32Array[] {
  return laplacianPyramid(picture).map((level, number) => patchesOf(level, fold(key, number), count));
}

/** Patches of one level of all pictures, every channel brought to mean 0 and deviation 1 over all of them. */
export function patchDescriptors(parts: readonly Float32Array[], channels: number): FeatureSet {
  const width = channels * PATCH ** 2;
  const values = joined(parts);
  for (let channel = 0; channel < channels; channel++) standardise(values, width, channel);
  return { values, width };
}

/** [count, C·7·7] of random places. */
function patchesOf({ channels, height, width, values }: Planes, key: RandomKey, count: number): Float32Array {
  const rows = randomIntegers(fold(key, 'rows'), count, height - PATCH + 1);
  const columns = randomIntegers(fold(key, 'columns'), count, width - PATCH + 1);
  const patches = new Float32Array(count * channels * PATCH ** 2);
  let target = 0;
  for (let patch = 0; patch < count; patch++) {
    for (let channel = 0; channel < channels; channel++) {
      for (let row = 0; row < PATCH; row++) {
        const at = (channel * height + rows[patch]! + row) * width + columns[patch]!;
        for (let column = 0; column < PATCH; column++) patches[target++] = values[at + column]!;
      }
    }
  }
  return patches;
}

/** In place, of the 7·7 values of one channel of every patch. A channel without variation becomes 0. */
function standardise(values: Float32Array, width: number, channel: number): void {
  const [start, end] = [channel * PATCH ** 2, (channel + 1) * PATCH ** 2];
  const visit = (each: (at: number) => void) => {
    for (let patch = 0; patch < values.length; patch += width) {
      for (let at = patch + start; at < patch + end; at++) each(at);
    }
  };
  const count = (values.length / width) * PATCH ** 2;
  let sum = 0;
  visit((at) => {
    sum += values[at]!;
  });
  const mean = sum / count;
  let squares = 0;
  visit((at) => {
    squares += (values[at]! - mean) ** 2;
  });
  const deviation = Math.sqrt(squares / count);
  visit((at) => {
    values[at] = deviation === 0 ? 0 : (values[at]! - mean) / deviation;
  });
}

/** The distance of each level, finest first, and their mean, in thousandths as published. */
export interface PyramidDistance {
  readonly levels: readonly number[];
  readonly mean: number;
}

/** @throws ShapeError if the sides have pictures of different sizes */
export async function pyramidDistance(
  first: readonly FeatureSet[],
  second: readonly FeatureSet[],
  { key, projections = 512 }: { readonly key: RandomKey; readonly projections?: number },
): Promise<PyramidDistance> {
  if (first.length !== second.length) {
    throw new ShapeError({
      where: 'SWD',
      problem: `one side has ${first.length} levels, the other ${second.length}`,
      fix: 'compare pictures of one size',
    });
  }
  const levels: number[] = [];
  for (const [number, level] of first.entries()) {
    const options = { key: fold(key, number), projections, power: 1 } as const;
    levels.push(1000 * (await slicedWasserstein(level, second[number]!, options)));
  }
  return { levels, mean: levels.reduce((sum, level) => sum + level, 0) / levels.length };
}
