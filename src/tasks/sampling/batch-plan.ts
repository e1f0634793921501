/** @file Which images belong to which batch, and which batches to which part: the one place that cuts what is asked for. */
import { ConfigError } from '../../core/errors.ts';

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

  batches(): PlannedBatch[] {
    const { imageCount, batchSize } = this;
    return Array.from({ length: this.batchCount }, (_, i) => {
      const first = i * batchSize;
      const count = Math.min(batchSize, imageCount - first);
      const members = Array.from({ length: batchSize }, (_, k) => first + Math.min(k, count - 1));
      return { first, count, members };
    });
  }

  /**
   * The batches of a part: neighbours, as many as of each other part or one fewer, and the same as in the whole.
   *
   * @throws ConfigError if a part would have none
   */
  batchesOf({ number, parts }: Part): PlannedBatch[] {
    const { batchCount } = this;
    if (batchCount < parts) {
      throw new ConfigError({
        where: '--part',
        problem: `${this.imageCount} images in batches of ${this.batchSize} are ${batchCount} batches, fewer than ${parts} parts`,
        fix: 'use fewer parts, or a smaller --batch-size',
      });
    }
    const begin = (k: number) => Math.floor((k * batchCount) / parts);
    return this.batches().slice(begin(number - 1), begin(number));
  }
}

/** A part of all images, such as 2/4. */
export interface Part {
  /** From 1. */
  readonly number: number;
  readonly parts: number;
}

export const WHOLE: Part = { number: 1, parts: 1 };

/**
 * The batch size up to `largest` that fills its last batch best, since batches are always drawn in full: 9 images in
 * batches of up to 8 are 5 and 4.
 */
export function evenBatchSize(imageCount: number, largest: number): number {
  return Math.ceil(imageCount / Math.ceil(imageCount / largest));
}
