/** @file Mean and covariance of features that come batch by batch: as many as there are, in the memory of two matrices. */
import { ShapeError } from '../core/errors.ts';

// N samples · D features of each

/** Mean and covariance of features. */
export interface FeatureStatistics {
  /** [D]. */
  readonly mean: Float64Array;
  /** [D, D] row by row, with the divisor N − 1. */
  readonly covariance: Float64Array;
}

/** Samples that are added to the covariance at once: a row of it is then read once for all of them. */
const AT_ONCE = 8;

/**
 * Collects features in their order. The result depends on the features and their order alone, to the bit, not on the
 * batches in which they came.
 *
 *     const moments = new FeatureMoments(2);
 *     moments.add([1, 2, 3, 4]).add([5, 0]);
 *     moments.statistics().mean;
 */
export class FeatureMoments {
  readonly width: number;
  private samples = 0;
  /** The first sample, which all are seen from: sums of squares are then no larger than they must be. */
  private readonly origin: Float64Array;
  private readonly sums: Float64Array;
  /** Of products, lower triangle. */
  private readonly products: Float64Array;
  private readonly waiting: Float64Array;

  constructor(width: number) {
    this.width = width;
    this.origin = new Float64Array(width);
    this.sums = new Float64Array(width);
    this.products = new Float64Array(width * width);
    this.waiting = new Float64Array(AT_ONCE * width);
  }

  get count(): number {
    return this.samples;
  }

  /**
   * @param features - [n, D] row by row
   * @throws ShapeError if the last sample is not whole
   */
  add(features: ArrayLike<number>): this {
    const { width } = this;
    if (features.length % width !== 0) {
      throw new ShapeError({
        where: 'FeatureMoments',
        problem: `${features.length} values are ${features.length / width} samples of ${width} features`,
        fix: 'add whole samples',
      });
    }
    for (let start = 0; start < features.length; start += width) {
      if (this.samples === 0) for (let a = 0; a < width; a++) this.origin[a] = features[start + a]!;
      const slot = (this.samples % AT_ONCE) * width;
      for (let a = 0; a < width; a++) {
        const value = features[start + a]! - this.origin[a]!;
        this.waiting[slot + a] = value;
        this.sums[a]! += value;
      }
      this.samples++;
      if (this.samples % AT_ONCE === 0) addProducts(this.waiting, AT_ONCE, width, this.products);
    }
    return this;
  }

  /** @throws ShapeError of fewer than two samples */
  statistics(): FeatureStatistics {
    const { width, samples, sums } = this;
    if (samples < 2) {
      throw new ShapeError({
        where: 'FeatureMoments',
        problem: `a covariance needs two samples, but there are ${samples}`,
        fix: 'give at least two whole samples',
      });
    }
    const covariance = this.products.slice();
    addProducts(this.waiting, samples % AT_ONCE, width, covariance);
    for (let a = 0; a < width; a++) {
      for (let b = 0; b <= a; b++) {
        const value = (covariance[a * width + b]! - (sums[a]! * sums[b]!) / samples) / (samples - 1);
        covariance[a * width + b] = value;
        covariance[b * width + a] = value;
      }
    }
    return { mean: this.origin.map((value, a) => value + sums[a]! / samples), covariance };
  }
}

/** Adds the products of the features of `count` samples to a lower triangle, each entry in the order of the samples. */
function addProducts(samples: Float64Array, count: number, width: number, triangle: Float64Array): void {
  const at = Array.from({ length: AT_ONCE }, (_, slot) => (slot < count ? slot * width : 0));
  const [s0, s1, s2, s3, s4, s5, s6, s7] = at as unknown as readonly number[] & { readonly length: 8 };
  for (let a = 0; a < width; a++) {
    const [v0, v1, v2, v3, v4, v5, v6, v7] = at.map((slot, i) =>
      i < count ? samples[slot + a]! : 0,
    ) as number[];
    const row = a * width;
    for (let b = 0; b <= a; b++) {
      triangle[row + b] =
        triangle[row + b]! +
        v0! * samples[s0! + b]! +
        v1! * samples[s1! + b]! +
        v2! * samples[s2! + b]! +
        v3! * samples[s3! + b]! +
        v4! * samples[s4! + b]! +
        v5! * samples[s5! + b]! +
        v6! * samples[s6! + b]! +
        v7! * samples[s7! + b]!;
    }
  }
}

/**
 * @param features - [N, D] row by row
 * @param width - D
 * @throws ShapeError if there are fewer than two samples, or a part of one
 */
export function featureStatistics(features: ArrayLike<number>, width: number): FeatureStatistics {
  return new FeatureMoments(width).add(features).statistics();
}
