/**
 * @file Sliced Wasserstein distances: how far projections of two sets on random directions are from each other. Of features
 * it is MIND (Berthet et al., arXiv 2605.06797); of patches of pictures, SWD (see patches.ts).
 */
import { ShapeError } from '../core/errors.ts';
import { expectOptions, type OptionTable } from '../core/options.ts';
import { fold, normal, type RandomKey } from '../core/random.ts';
import { countOf, type FeatureSet } from './matrix-product.ts';

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
export function slicedWasserstein(first: FeatureSet, second: FeatureSet, options: SlicedOptions): number {
  expectOptions(options, 'slicedWasserstein', SLICED_OPTIONS);
  const { key, projections = 1000, power = 2 } = options;
  const { width } = first;
  if (width !== second.width || countOf(first) === 0 || countOf(second) === 0) {
    throw new ShapeError({
      where: 'slicedWasserstein',
      problem:
        `one side has ${countOf(first)} samples of ${width} features, ` +
        `the other ${countOf(second)} of ${second.width}`,
      fix: 'compare samples of the same kind of features',
    });
  }
  let sum = 0;
  for (let direction = 0; direction < projections; direction++) {
    const axis = unitVector(fold(key, direction), width);
    sum += wassersteinOnLine(projected(first, axis), projected(second, axis), power);
  }
  return sum / projections;
}

function unitVector(key: RandomKey, width: number): Float64Array {
  const vector = Float64Array.from(normal(key, width));
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value ** 2, 0));
  return vector.map((value) => value / length);
}

function projected(features: FeatureSet, axis: Float64Array): Float64Array {
  const { values, width } = features;
  const places = new Float64Array(countOf(features));
  for (let i = 0; i < places.length; i++) {
    const at = i * width;
    let sum = 0;
    for (let k = 0; k < width; k++) sum += values[at + k]! * axis[k]!;
    places[i] = sum;
  }
  return places.sort();
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
