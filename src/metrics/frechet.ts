/** @file The Fréchet distance of two sets of features, each taken for a normal distribution (Heusel et al. 2017, FID). */
import { ShapeError } from '../core/errors.ts';
import type { FeatureStatistics } from './moments.ts';
import { nuclearNormOfProduct, pivotedCholesky } from './nuclear-norm.ts';

/** The distance and the parts that it is the sum of. */
export interface FrechetDistance {
  /** Never negative: the distance of equal sets is 0. */
  readonly distance: number;
  /** |μ₁ − μ₂|². */
  readonly ofMeans: number;
  /** tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) as computed: of equal covariances a rounding error, which may be negative. */
  readonly ofCovariances: number;
}

/**
 * |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½). The last trace is the nuclear norm of a product of factors, so that covariances
 * of less than full rank need no special care.
 *
 *     const statistics = featureStatistics(features, 2);
 *     console.log(frechetDistance(statistics, featureStatistics([0, 1, 1, 0, 2, 2], 2)));
 *
 * @throws ShapeError if the numbers of features differ
 */
export function frechetDistance(first: FeatureStatistics, second: FeatureStatistics): number {
  return frechetParts(first, second).distance;
}

/** The same with its parts. @throws ShapeError if the numbers of features differ */
export function frechetParts(first: FeatureStatistics, second: FeatureStatistics): FrechetDistance {
  const width = first.mean.length;
  if (second.mean.length !== width) {
    throw new ShapeError({
      where: 'frechetDistance',
      problem: `one side has ${width} features, the other ${second.mean.length}`,
      fix: 'compare features of the same kind',
    });
  }
  const [a, b] = [first, second].map(({ covariance }) => pivotedCholesky(covariance, width));
  const overlap = nuclearNormOfProduct(a!, b!);
  const ofMeans = first.mean.reduce((sum, value, i) => sum + (value - second.mean[i]!) ** 2, 0);
  const ofCovariances = traceOf(first) + traceOf(second) - 2 * overlap;
  return { distance: Math.max(0, ofMeans + ofCovariances), ofMeans, ofCovariances };
}

function traceOf({ mean, covariance }: FeatureStatistics): number {
  return mean.reduce((sum, _, i) => sum + covariance[i * mean.length + i]!, 0);
}
