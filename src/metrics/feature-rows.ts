/** @file Features of so many pictures that they are read some at a time: from memory, or from wherever they are kept. */
import { countOf, type FeatureSet, rowsOf } from './matrix-product.ts';

export interface FeatureRows {
  readonly count: number;
  /** Features of each. */
  readonly width: number;
  /** Rows `start` up to `end`, without the last. */
  read(start: number, end: number): Promise<FeatureSet>;
  /** Rows by their numbers, in this order. */
  take(rows: Int32Array): Promise<FeatureSet>;
}

/** Metrics of pairs hold one of two sets in memory as a whole, and of the other some rows, where it is not there already. */
export type Features = FeatureSet | FeatureRows;

export function rowsFrom(features: Features): FeatureRows {
  if (!('values' in features)) return features;
  const { values, width } = features;
  return {
    count: countOf(features),
    width,
    read: async (start, end) => rowsOf(features, start, end),
    async take(rows) {
      const taken = new Float32Array(rows.length * width);
      for (const [i, row] of rows.entries())
        taken.set(values.subarray(row * width, (row + 1) * width), i * width);
      return { values: taken, width };
    },
  };
}

export const readAll = (features: FeatureRows): Promise<FeatureSet> => features.read(0, features.count);
