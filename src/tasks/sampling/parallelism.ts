/** @file How many batches are drawn at once, and with how many threads each. */
import { type Backend, MOST_WORKERS } from '../../engine/runtime/session.ts';
import { BatchPlan, evenBatchSize } from './batch-plan.ts';

export interface Parallelism {
  readonly workers: number;
  /** Of each worker. */
  readonly threads: number;
}

export interface ParallelismRequest {
  readonly batchCount: number;
  /** Cores to compute with. */
  readonly cores: number;
  /** Memory that is free, and that a worker takes. */
  readonly freeBytes: number;
  readonly workerBytes: number;
  readonly workers?: number | undefined;
  readonly threads?: number | undefined;
}

/** Two for each core, where a core has two threads. */
const WORKERS_PER_CORE = 2;

/**
 * Completes what the user left open: a worker of one thread per core as long as there are batches for them, since
 * threads inside one operation wait for each other. With fewer batches, or too little memory for more workers, the cores
 * that are left are their threads. Workers as asked for have one thread; those without a batch, memory or a core of
 * their own are left out, which changes no image.
 */
export function chooseParallelism(request: ParallelismRequest): Parallelism {
  const { batchCount, cores, freeBytes, workerBytes } = request;
  const asked = request.workers ?? Math.floor(cores / (request.threads ?? 1));
  const useful = Math.min(batchCount, WORKERS_PER_CORE * cores, MOST_WORKERS);
  const workers = Math.max(1, Math.min(asked, useful, Math.floor(freeBytes / workerBytes)));
  const threadsLeft = request.workers === undefined ? Math.max(1, Math.floor(cores / workers)) : 1;
  return { workers, threads: request.threads ?? threadsLeft };
}

export interface ComputingRequest {
  /** Images that will be drawn in all, where that is known. */
  readonly images?: number | undefined;
  /** Images of a batch, with `images` the most. */
  readonly batchSize: number;
  readonly workers?: number | undefined;
  readonly threads?: number | undefined;
  /** Cores to compute with. Default: those of the machine. */
  readonly cores?: number | undefined;
}

export interface Computing extends Parallelism {
  readonly batchSize: number;
}

/**
 * Completes what was left open of how images are drawn on a backend. Workers as asked for are kept as they are where
 * nobody knows how many images there will be.
 *
 * @param workerBytes - what a worker takes for batches of this size
 */
export function chooseComputing(
  { machine }: Pick<Backend, 'machine'>,
  { images, batchSize: most, workers, threads, cores }: ComputingRequest,
  workerBytes: (batchSize: number) => number,
): Computing {
  const batchSize = images === undefined ? most : evenBatchSize(images, most);
  if (machine === undefined || (workers !== undefined && images === undefined)) {
    return { batchSize, workers: workers ?? 1, threads: threads ?? 1 };
  }
  return {
    batchSize,
    ...chooseParallelism({
      batchCount:
        images === undefined ? Number.POSITIVE_INFINITY : new BatchPlan(images, batchSize).batchCount,
      cores: Math.min(cores ?? machine.cores, machine.cores),
      freeBytes: machine.freeMemory(),
      workerBytes: workerBytes(batchSize),
      ...{ workers, threads },
    }),
  };
}
