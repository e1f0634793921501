/** @file The Fréchet distance of two sets of features, each taken for a normal distribution (Heusel et al. 2017, FID). */
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { ShapeError } from '../core/errors.ts';

// N samples · D features of each

/** Mean and covariance of features. */
export interface FeatureStatistics {
  /** [D]. */
  readonly mean: Float64Array;
  /** [D, D] row by row, with the divisor N − 1. */
  readonly covariance: Float64Array;
}

/**
 * @param features - [N, D] row by row
 * @param width - D
 * @throws ShapeError if there are fewer than two samples, or a part of one
 */
export function featureStatistics(features: ArrayLike<number>, width: number): FeatureStatistics {
  const count = features.length / width;
  if (!Number.isInteger(count) || count < 2) {
    throw new ShapeError({
      where: 'featureStatistics',
      problem: `${features.length} values are ${count} samples of ${width} features`,
      fix: 'give at least two whole samples',
    });
  }
  const mean = new Float64Array(width);
  for (let i = 0; i < features.length; i++) mean[i % width]! += features[i]! / count;
  const covariance = new Float64Array(width * width);
  const centred = new Float64Array(width);
  for (let n = 0; n < count; n++) {
    for (let a = 0; a < width; a++) centred[a] = features[n * width + a]! - mean[a]!;
    for (let a = 0; a < width; a++) {
      const scaled = centred[a]! / (count - 1);
      for (let b = 0; b <= a; b++) covariance[a * width + b]! += scaled * centred[b]!;
    }
  }
  for (let a = 0; a < width; a++)
    for (let b = 0; b < a; b++) covariance[b * width + a] = covariance[a * width + b]!;
  return { mean, covariance };
}

/**
 * |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½). The last trace is that of (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric, so that
 * covariances of less than full rank need no special care.
 *
 *     const statistics = featureStatistics(features, 2);
 *     console.log(frechetDistance(statistics, featureStatistics([0, 1, 1, 0, 2, 2], 2)));
 *
 * @throws ShapeError if the numbers of features differ
 */
export function frechetDistance(first: FeatureStatistics, second: FeatureStatistics): number {
  const width = first.mean.length;
  if (second.mean.length !== width) {
    throw new ShapeError({
      where: 'frechetDistance',
      problem: `one side has ${width} features, the other ${second.mean.length}`,
      fix: 'compare features of the same kind',
    });
  }
  const [a, b] = [first, second].map(({ covariance }) => Matrix.from1DArray(width, width, covariance)) as [
    Matrix,
    Matrix,
  ];
  const root = squareRoot(a);
  const product = root.mmul(b).mmul(root);
  const overlap = eigenvaluesOf(product).reduce((sum, value) => sum + Math.sqrt(Math.max(0, value)), 0);
  const meanDistance = first.mean.reduce((sum, value, i) => sum + (value - second.mean[i]!) ** 2, 0);
  return meanDistance + a.trace() + b.trace() - 2 * overlap;
}

/** Of a symmetric matrix without negative eigenvalues but those of rounding. */
function squareRoot(matrix: Matrix): Matrix {
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(matrix, {
    assumeSymmetric: true,
  });
  const roots = realEigenvalues.map((value) => Math.sqrt(Math.max(0, value)));
  return eigenvectorMatrix.clone().mulRowVector(roots).mmul(eigenvectorMatrix.transpose());
}

function eigenvaluesOf(matrix: Matrix): number[] {
  // A product of three rounds to something that is not quite symmetric.
  const symmetric = Matrix.add(matrix, matrix.transpose()).mul(0.5);
  return new EigenvalueDecomposition(symmetric, { assumeSymmetric: true }).realEigenvalues;
}
