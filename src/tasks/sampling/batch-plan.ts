/** @file Which images belong to which batch: the one place that cuts what is asked for into batches. */

/** A batch of a plan. */
export interface PlannedBatch {
  /** Position of its first image among all. */
  readonly first: number;
  /** Images that are asked for; the rest fills the batch up. */
  readonly count: number;
  /** Positions of all images that the graph draws, [B]: the last image fills what is left. */
  readonly members: readonly number[];
}

/** Batches of one size, since the graph takes no other. Which images share a batch depends on their positions alone. */
export class BatchPlan {
  readonly imageCount: number;
  readonly batchSize: number;

  constructor(imageCount: number, batchSize: number) {
    this.imageCount = imageCount;
    this.batchSize = batchSize;
  }

  get batchCount(): number {
    return Math.ceil(this.imageCount / this.batchSize);
  }

  /** @param from - images before this position are there already, a whole number of batches */
  batches(from = 0): PlannedBatch[] {
    const { imageCount, batchSize } = this;
    const skipped = Math.ceil(from / batchSize);
    return Array.from({ length: this.batchCount - skipped }, (_, i) => {
      const first = (skipped + i) * batchSize;
      const count = Math.min(batchSize, imageCount - first);
      const members = Array.from({ length: batchSize }, (_, k) => first + Math.min(k, count - 1));
      return { first, count, members };
    });
  }
}

/**
 * The batch size up to `largest` that fills its last batch best, since batches are always drawn in full: 9 images in
 * batches of up to 8 are 5 and 4.
 */
export function evenBatchSize(imageCount: number, largest: number): number {
  return Math.ceil(imageCount / Math.ceil(imageCount / largest));
}
