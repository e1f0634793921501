/**
 * @file Precision and recall, density and coverage: what share of one set lies within the manifold of another, which is the
 * union of balls around its samples that reach their k-th neighbours (Kynkäänniemi et al. 2019; Naeem et al. 2020).
 *
 * Distances are first computed in float32 by products, with a bound of their error. Wherever the answer depends on that
 * error the distance is computed again in float64. The scores are therefore those of exact distances, whatever the blocks,
 * the runtime and the number of threads.
 */
import { ShapeError } from '../core/errors.ts';
import { expectOptions, type OptionTable } from '../core/options.ts';
import { type FeatureRows, type Features, readAll, rowsFrom } from './feature-rows.ts';
import {
  countOf,
  exactSquaredDistance,
  type FeatureSet,
  type MatrixProduct,
  plainProduct,
  squaredNorms,
} from './matrix-product.ts';

export interface ManifoldOptions {
  /** Neighbours that a ball reaches. Default 3, as in ADM's evaluation suite; density and coverage are published with 5. */
  readonly k?: number;
  readonly product?: MatrixProduct;
  /** Rows per product. It changes nothing but memory and time. Default 1,000. */
  readonly block?: number;
}

const MANIFOLD_OPTIONS: OptionTable<ManifoldOptions> = {
  k: 'optional',
  product: 'optional',
  block: 'optional',
};

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

export interface ManifoldPoint extends ManifoldScores {
  readonly k: number;
}

/**
 * @throws ConfigError for an option that does not exist
 * @throws ShapeError if the numbers of features differ, or a set has no k-th neighbours
 */
export async function manifoldScores(
  reference: Features,
  samples: Features,
  options: ManifoldOptions = {},
): Promise<ManifoldScores> {
  expectOptions(options, 'manifoldScores', MANIFOLD_OPTIONS);
  const { k = 3, ...others } = options;
  const [{ k: _, ...scores }] = (await manifoldCurve(reference, samples, [k], others)) as [ManifoldPoint];
  return scores;
}

/**
 * The scores for several numbers of neighbours, from the fewest to the most, in the passes that one of them takes.
 *
 * @throws ShapeError if the numbers of features differ, or a set has too few neighbours
 */
export async function manifoldCurve(
  reference: Features,
  samples: Features,
  neighbours: readonly number[],
  options: Omit<ManifoldOptions, 'k'> = {},
): Promise<ManifoldPoint[]> {
  if (reference.width !== samples.width) {
    throw new ShapeError({
      where: 'manifoldScores',
      problem: `the reference has ${reference.width} features, the samples ${samples.width}`,
      fix: 'compare features of the same kind',
    });
  }
  const ks = [...new Set(neighbours)].sort((a, b) => a - b);
  const [ofReference, ofSamples] = [
    await radiiOf(reference, ks, options),
    await radiiOf(samples, ks, options),
  ];
  const [real, drawn] = [ofReference[0]!.length, ofSamples[0]!.length];
  // Balls of few neighbours lie within those of more. The first that holds a point tells all that do.
  const ofSample = new Int32Array(drawn).fill(ks.length);
  const ofBall = new Int32Array(real).fill(ks.length);
  const ofReal = new Int32Array(real).fill(ks.length);
  const balls = new Float64Array(ks.length);
  await visitRows(rowsFrom(reference), await readAll(rowsFrom(samples)), options, (row) => {
    const { i } = row;
    for (let j = 0; j < drawn; j++) {
      let first = ks.length;
      while (first > 0 && row.isWithin(j, ofReference[first - 1]![i]!)) balls[--first]!++;
      ofSample[j] = Math.min(ofSample[j]!, first);
      ofBall[i] = Math.min(ofBall[i]!, first);
      while (ofReal[i]! > 0 && row.isWithin(j, ofSamples[ofReal[i]! - 1]![j]!)) ofReal[i]!--;
    }
  });
  const shareOf = (firsts: Int32Array, at: number) =>
    firsts.reduce((hits, first) => hits + (first <= at ? 1 : 0), 0) / firsts.length;
  return ks.map((k, at) => ({
    k,
    precision: shareOf(ofSample, at),
    recall: shareOf(ofReal, at),
    density: balls[at]! / (k * drawn),
    coverage: shareOf(ofBall, at),
  }));
}

/** Squared distances of each sample from its k-th neighbour, itself not counted. */
export async function neighbourRadii(
  features: Features,
  { k = 3, ...options }: ManifoldOptions = {},
): Promise<Float64Array> {
  return (await radiiOf(features, [k], options))[0]!;
}

/** {@link neighbourRadii} for each of several numbers of neighbours, the largest of which is the last. */
async function radiiOf(
  features: Features,
  ks: readonly number[],
  options: Omit<ManifoldOptions, 'k'>,
): Promise<Float64Array[]> {
  const whole = await readAll(rowsFrom(features));
  const count = countOf(whole);
  const most = ks.at(-1)!;
  if (count <= most) {
    throw new ShapeError({
      where: 'neighbourRadii',
      problem: `${count} samples have no neighbour number ${most}`,
      fix: `give more than ${most} samples`,
    });
  }
  const radii = ks.map(() => new Float64Array(count));
  await visitRows(rowsFrom(whole), whole, options, (row) => {
    // The k-th of the upper bounds bounds the radius, and the sample itself is one more below it; only what may lie below
    // is computed again.
    const bound = smallest(count, most + 1, (j) => row.distances[j]! + row.margin(j));
    const candidates: number[] = [];
    for (let j = 0; j < count; j++) {
      if (j !== row.i && row.distances[j]! - row.margin(j) <= bound) candidates.push(row.exact(j));
    }
    candidates.sort((a, b) => a - b);
    for (const [at, k] of ks.entries()) radii[at]![row.i] = candidates[k - 1]!;
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
  samples: Features,
  reference: Features,
  options: Omit<ManifoldOptions, 'k'> = {},
): Promise<Neighbours> {
  const [rows, whole] = [rowsFrom(samples), await readAll(rowsFrom(reference))];
  const { count } = rows;
  const [nearest, squared] = [new Int32Array(count), new Float64Array(count).fill(Number.POSITIVE_INFINITY)];
  const others = countOf(whole);
  await visitRows(rows, whole, options, (row) => {
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
  a: FeatureRows,
  b: FeatureSet,
  { product = plainProduct, block = 1000 }: ManifoldOptions,
  visit: (row: DistanceRow) => void,
): Promise<void> {
  const columns = countOf(b);
  const normsB = squaredNorms(b);
  const lengths = normsB.map(Math.sqrt);
  // |a·b| is at most |a| |b|, and twice the product's error is that of |a|² + |b|² − 2 a·b; twice that is on the safe side.
  const error = 4 * (a.width + 2) * 2 ** -24;
  const distances = new Float64Array(columns);
  for (let start = 0; start < a.count; start += block) {
    const rows = await a.read(start, Math.min(start + block, a.count));
    const norms = squaredNorms(rows);
    const products = await product(rows, b);
    for (const [row, norm] of norms.entries()) {
      const at = row * columns;
      for (let j = 0; j < columns; j++) distances[j] = norm + normsB[j]! - 2 * products[at + j]!;
      const scale = error * Math.sqrt(norm);
      const margin = (j: number) => scale * lengths[j]!;
      const exact = (j: number) => exactSquaredDistance(rows, row, b, j);
      const isWithin = (j: number, squared: number) => {
        const [distance, bound] = [distances[j]!, margin(j)];
        return distance + bound <= squared || (distance - bound <= squared && exact(j) <= squared);
      };
      visit({ i: start + row, distances, margin, exact, isWithin });
    }
  }
}
