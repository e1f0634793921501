/**
 * @file Precision and recall, density and coverage: what share of one set lies within the manifold of another, which is the
 * union of balls around its samples that reach their k-th neighbours (Kynkäänniemi et al. 2019; Naeem et al. 2020).
 *
 * Distances are first computed in float32 by products, with a bound of their error. Wherever the answer depends on that
 * error the distance is computed again in float64. The scores are therefore those of exact distances, whatever the blocks,
 * the runtime and the number of threads.
 */
import { ShapeError } from '../core/errors.ts';
import {
  countOf,
  exactSquaredDistance,
  type FeatureSet,
  type MatrixProduct,
  plainProduct,
  rowsOf,
  squaredNorms,
} from './matrix-product.ts';

export interface ManifoldOptions {
  /** Neighbours that a ball reaches. Default 3, as in ADM's evaluation suite; density and coverage are published with 5. */
  readonly k?: number;
  readonly product?: MatrixProduct;
  /** Rows per product. It changes nothing but memory and time. Default 1,000. */
  readonly block?: number;
}

export interface ManifoldScores {
  /** Share of the samples that lie within the manifold of the reference. */
  readonly precision: number;
  /** Share of the reference that lies within the manifold of the samples. */
  readonly recall: number;
  /** Balls of the reference that a sample lies in, over k; 1 for samples like the reference, and it may be more. */
  readonly density: number;
  /** Share of the reference's balls that a sample lies in. */
  readonly coverage: number;
}

/**
 * @throws ShapeError if the numbers of features differ, or a set has no k-th neighbours
 */
export async function manifoldScores(
  reference: FeatureSet,
  samples: FeatureSet,
  options: ManifoldOptions = {},
): Promise<ManifoldScores> {
  const { k = 3 } = options;
  if (reference.width !== samples.width) {
    throw new ShapeError({
      where: 'manifoldScores',
      problem: `the reference has ${reference.width} features, the samples ${samples.width}`,
      fix: 'compare features of the same kind',
    });
  }
  const [ofReference, ofSamples] = [
    await neighbourRadii(reference, options),
    await neighbourRadii(samples, options),
  ];
  const [real, drawn] = [countOf(reference), countOf(samples)];
  const ballsOfSample = new Int32Array(drawn);
  const ballsOfReference = new Int32Array(real);
  const covered = new Int32Array(real);
  await visitRows(reference, samples, options, (row) => {
    const { i } = row;
    for (let j = 0; j < drawn; j++) {
      if (row.isWithin(j, ofReference[i]!)) {
        ballsOfSample[j]!++;
        covered[i] = 1;
      }
      if (ballsOfReference[i] === 0 && row.isWithin(j, ofSamples[j]!)) ballsOfReference[i] = 1;
    }
  });
  const shareOf = (hits: Int32Array) => hits.filter((hit) => hit > 0).length / hits.length;
  return {
    precision: shareOf(ballsOfSample),
    recall: shareOf(ballsOfReference),
    density: ballsOfSample.reduce((sum, balls) => sum + balls, 0) / (k * drawn),
    coverage: shareOf(covered),
  };
}

/** Squared distances of each sample from its k-th neighbour, itself not counted. */
export async function neighbourRadii(
  features: FeatureSet,
  options: ManifoldOptions = {},
): Promise<Float64Array> {
  const { k = 3 } = options;
  const count = countOf(features);
  if (count <= k) {
    throw new ShapeError({
      where: 'neighbourRadii',
      problem: `${count} samples have no neighbour number ${k}`,
      fix: `give more than ${k} samples`,
    });
  }
  const radii = new Float64Array(count);
  await visitRows(features, features, options, (row) => {
    // The k-th of the upper bounds bounds the radius, and the sample itself is one more below it; only what may lie below
    // is computed again.
    const bound = smallest(count, k + 1, (j) => row.distances[j]! + row.margin(j));
    const candidates: number[] = [];
    for (let j = 0; j < count; j++) {
      if (j !== row.i && row.distances[j]! - row.margin(j) <= bound) candidates.push(row.exact(j));
    }
    radii[row.i] = candidates.sort((a, b) => a - b)[k - 1]!;
  });
  return radii;
}

export interface Neighbours {
  /** Of each sample, the nearest of the reference. */
  readonly nearest: Int32Array;
  /** How far it is, squared. */
  readonly squared: Float64Array;
}

/** The nearest sample of a reference to each of others; of several equally near ones the first. */
export async function nearestNeighbours(
  samples: FeatureSet,
  reference: FeatureSet,
  options: Omit<ManifoldOptions, 'k'> = {},
): Promise<Neighbours> {
  const count = countOf(samples);
  const [nearest, squared] = [new Int32Array(count), new Float64Array(count).fill(Number.POSITIVE_INFINITY)];
  const others = countOf(reference);
  await visitRows(samples, reference, options, (row) => {
    const bound = smallest(others, 1, (j) => row.distances[j]! + row.margin(j));
    for (let j = 0; j < others; j++) {
      if (row.distances[j]! - row.margin(j) > bound) continue;
      const distance = row.exact(j);
      if (distance >= squared[row.i]!) continue;
      squared[row.i] = distance;
      nearest[row.i] = j;
    }
  });
  return { nearest, squared };
}

/** The `rank`-th smallest of `count` values. */
function smallest(count: number, rank: number, valueAt: (position: number) => number): number {
  const kept: number[] = [];
  for (let position = 0; position < count; position++) {
    const value = valueAt(position);
    if (kept.length === rank && value >= kept[rank - 1]!) continue;
    const place = kept.findIndex((other) => other > value);
    kept.splice(place < 0 ? kept.length : place, 0, value);
    if (kept.length > rank) kept.pop();
  }
  return kept[rank - 1]!;
}

/** The squared distances of sample `i` of one set from all of another. */
interface DistanceRow {
  readonly i: number;
  /** In float32's precision. */
  readonly distances: Float64Array;
  /** How far the distance from sample `j` may be from the exact one. */
  margin(j: number): number;
  /** In float64. */
  exact(j: number): number;
  /** Is the exact distance from sample `j` at most this? */
  isWithin(j: number, squared: number): boolean;
}

async function visitRows(
  a: FeatureSet,
  b: FeatureSet,
  { product = plainProduct, block = 1000 }: ManifoldOptions,
  visit: (row: DistanceRow) => void,
): Promise<void> {
  const [rows, columns] = [countOf(a), countOf(b)];
  const normsA = squaredNorms(a);
  const normsB = a === b ? normsA : squaredNorms(b);
  const lengths = normsB.map(Math.sqrt);
  // |a·b| is at most |a| |b|, and twice the product's error is that of |a|² + |b|² − 2 a·b; twice that is on the safe side.
  const error = 4 * (a.width + 2) * 2 ** -24;
  const distances = new Float64Array(columns);
  for (let start = 0; start < rows; start += block) {
    const end = Math.min(start + block, rows);
    const products = await product(rowsOf(a, start, end), b);
    for (let i = start; i < end; i++) {
      const at = (i - start) * columns;
      for (let j = 0; j < columns; j++) distances[j] = normsA[i]! + normsB[j]! - 2 * products[at + j]!;
      const scale = error * Math.sqrt(normsA[i]!);
      const margin = (j: number) => scale * lengths[j]!;
      const exact = (j: number) => exactSquaredDistance(a, i, b, j);
      const isWithin = (j: number, squared: number) => {
        const [distance, bound] = [distances[j]!, margin(j)];
        return distance + bound <= squared || (distance - bound <= squared && exact(j) <= squared);
      };
      visit({ i, distances, margin, exact, isWithin });
    }
  }
}
