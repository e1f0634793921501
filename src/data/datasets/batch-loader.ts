/** @file The batches of a training, the next of which is read while one is worked on. */
import { ConfigError } from '../../core/errors.ts';
import type { RandomKey } from '../../core/random.ts';
import { type LoadedBatch, loadBatch, type Samples } from './samples.ts';
import type { TrainingOrder } from './shuffle.ts';

export interface BatchLoaderOptions {
  /** Of all ranks together. */
  readonly batchSize: number;
  /** Augmentation is drawn from it, by a sample's position in the run. */
  readonly key: RandomKey;
  /** Whose share of each batch is read, and among how many; alone by default. */
  readonly rank?: number;
  readonly ranks?: number;
  /** Batches that are read ahead; 1 by default. */
  readonly ahead?: 0 | 1;
}

interface Reading {
  readonly nimg: number;
  /** Fails only when it is awaited: nobody may ever ask for a batch that was read ahead. */
  readonly batch: Promise<LoadedBatch>;
}

/** Batches by position. They depend on order, samples and key alone, not on which were read before. */
export class BatchLoader {
  readonly #order: TrainingOrder;
  readonly #samples: Samples;
  readonly #options: Required<BatchLoaderOptions>;
  /** Begins to read the next batch. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #next: Reading | undefined;

  /** @throws ConfigError if the batch cannot be cut into equal shares */
  constructor(order: TrainingOrder, samples: Samples, options: BatchLoaderOptions) {
    this.#order = order;
    this.#samples = samples;
    this.#options = { rank: 0, ranks: 1, ahead: 1, ...options };
    const { batchSize, ranks } = this.#options;
    if (batchSize % ranks === 0) return;
    throw new ConfigError({
      where: 'BatchLoader',
      problem: `a batch of ${batchSize} samples cannot be cut into ${ranks} equal shares`,
      fix: `use a batch of ${Math.ceil(batchSize / ranks) * ranks}`,
    });
  }

  /**
   * This rank's share of the batch that follows the first `nimg` samples.
   *
   * @throws DataError if it cannot be read; one that was read ahead fails only here
   */
  async at(nimg: number): Promise<LoadedBatch> {
    const ahead = await this.#takeNext();
    const batch = await (ahead?.nimg === nimg ? ahead.batch : this.#read(nimg));
    if (this.#options.ahead === 1) {
      // Not at once: by then the caller computes, and samples that are read without waiting would delay it.
      this.#timer = setTimeout(() => {
        this.#next = this.#begin(nimg + this.#options.batchSize);
      });
    }
    return batch;
  }

  /** Waits for what is being read, and forgets it. */
  async close(): Promise<void> {
    await this.#takeNext();
  }

  /** What has been read ahead, once it is there. */
  async #takeNext(): Promise<Reading | undefined> {
    clearTimeout(this.#timer);
    const next = this.#next;
    this.#next = undefined;
    await next?.batch.catch(() => undefined);
    return next;
  }

  #begin(nimg: number): Reading {
    const batch = this.#read(nimg);
    batch.catch(() => undefined);
    return { nimg, batch };
  }

  #read(nimg: number): Promise<LoadedBatch> {
    const { batchSize, rank, ranks, key } = this.#options;
    const count = batchSize / ranks;
    const first = nimg + rank * count;
    return loadBatch(this.#samples, this.#order.indicesAt(first, count), { key, nimg: first });
  }
}
