/**
 * @file Sliced Wasserstein distances: how far projections of two sets on random directions are from each other. Of features
 * it is MIND (Berthet et al., arXiv 2605.06797); of patches of pictures, SWD (see patches.ts).
 */
import { ShapeError } from '../core/errors.ts';
import { expectOptions, type OptionTable } from '../core/options.ts';
import { fold, normal, type RandomKey } from '../core/random.ts';
import { type FeatureRows, type Features, rowsFrom } from './feature-rows.ts';

export interface SlicedOptions {
  /** Draws the directions. */
  readonly key: RandomKey;
  /** Default 1,000. */
  readonly projections?: number;
  /** Power of the distances along a line: 2 (the default), or 1. */
  readonly power?: 1 | 2;
}

const SLICED_OPTIONS: OptionTable<SlicedOptions> = {
  key: 'needed',
  projections: 'optional',
  power: 'optional',
};

/**
 * The mean over random directions of the Wasserstein distance along them, to the given power: of normal distributions
 * N(μ, σ² I) in D dimensions it is |μ₁ − μ₂|² / D + (σ₁ − σ₂)². It neither fits nor inverts covariances, and is of use from
 * a thousand pictures on.
 *
 * @throws ConfigError for an option that does not exist or is missing
 * @throws ShapeError if the numbers of features differ, or a side is empty
 */
export async function slicedWasserstein(
  first: Features,
  second: Features,
  options: SlicedOptions,
): Promise<number> {
  expectOptions(options, 'slicedWasserstein', SLICED_OPTIONS);
  const { key, projections = 1000, power = 2 } = options;
  const [a, b] = [rowsFrom(first), rowsFrom(second)];
  if (a.width !== b.width || a.count === 0 || b.count === 0) {
    throw new ShapeError({
      where: 'slicedWasserstein',
      problem:
        `one side has ${a.count} samples of ${a.width} features, ` + `the other ${b.count} of ${b.width}`,
      fix: 'compare samples of the same kind of features',
    });
  }
  let sum = 0;
  for (let start = 0; start < projections; start += AXES) {
    const axes = Array.from({ length: Math.min(AXES, projections - start) }, (_, i) =>
      unitVector(fold(key, start + i), a.width),
    );
    const [ofFirst, ofSecond] = [await projected(a, axes), await projected(b, axes)];
    for (const i of axes.keys()) sum += wassersteinOnLine(ofFirst[i]!, ofSecond[i]!, power);
  }
  return sum / projections;
}

/** Directions at a time: each row is read once for all of them. */
const AXES = 100;
/** Rows read at a time. */
const BLOCK = 1000;

function unitVector(key: RandomKey, width: number): Float64Array {
  const vector = Float64Array.from(normal(key, width));
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value ** 2, 0));
  return vector.map((value) => value / length);
}

/** For each axis the places of all rows along it, sorted. */
async function projected(features: FeatureRows, axes: readonly Float64Array[]): Promise<Float64Array[]> {
  const { count, width } = features;
  const places = axes.map(() => new Float64Array(count));
  for (let start = 0; start < count; start += BLOCK) {
    const { values } = await features.read(start, Math.min(start + BLOCK, count));
    for (let i = 0; i < values.length / width; i++) {
      for (const [number, axis] of axes.entries()) {
        let sum = 0;
        for (let k = 0; k < width; k++) sum += values[i * width + k]! * axis[k]!;
        places[number]![start + i] = sum;
      }
    }
  }
  for (const along of places) along.sort();
  return places;
}

/** ∫ |F⁻¹(q) − G⁻¹(q)|ᵖ dq of two sorted samples, which may differ in number. */
export function wassersteinOnLine(a: Float64Array, b: Float64Array, power: 1 | 2): number {
  let [i, j, done, sum] = [0, 0, 0, 0];
  while (i < a.length && j < b.length) {
    // Quantiles at which the next sample begins; compared as whole numbers, so that equal ones are equal.
    const [endA, endB] = [(i + 1) * b.length, (j + 1) * a.length];
    const end = Math.min(endA, endB);
    const difference = Math.abs(a[i]! - b[j]!);
    sum += (end - done) * (power === 2 ? difference * difference : difference);
    done = end;
    if (endA === end) i++;
    if (endB === end) j++;
  }
  return sum / (a.length * b.length);
}
