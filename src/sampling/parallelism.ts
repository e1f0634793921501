/** @file How many batches are drawn at once, and with how many threads each. */
import { sizeOf } from '../core/shape.ts';
import type { TensorSource } from '../core/tensor-source.ts';

export interface Parallelism {
  readonly workers: number;
  /** Of each worker. */
  readonly threads: number;
}

export interface ParallelismRequest {
  readonly batchCount: number;
  /** Cores to compute with. */
  readonly cores: number;
  /** Workers that memory suffices for. */
  readonly mostWorkers: number;
  readonly workers?: number | undefined;
  readonly threads?: number | undefined;
}

/**
 * Completes what the user left open: a worker of one thread per core as long as there are batches for them, since
 * threads inside one operation wait for each other; with fewer batches the cores that are left are their threads.
 */
export function chooseParallelism(request: ParallelismRequest): Parallelism {
  const { batchCount, cores, mostWorkers } = request;
  if (request.workers !== undefined) return { workers: request.workers, threads: request.threads ?? 1 };
  const fitting = Math.floor(cores / (request.threads ?? 1));
  const workers = Math.max(1, Math.min(fitting, batchCount, mostWorkers));
  return { workers, threads: request.threads ?? Math.max(1, Math.floor(cores / workers)) };
}

/** While it loads, a worker holds the model as it was sent, as it was parsed, and as it will be used. */
const COPIES_WHILE_LOADING = 3;
/** A thread with what it runs and one batch of a usual size. */
const BYTES_PER_THREAD = 200e6;

/**
 * How many workers memory suffices for, at least one.
 *
 * @param freeBytes - what the process may still take
 */
export function mostWorkers({ infos }: Pick<TensorSource, 'infos'>, freeBytes: number): number {
  const weightBytes = 4 * [...infos.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0); // as float32
  return Math.max(1, Math.floor(freeBytes / (COPIES_WHILE_LOADING * weightBytes + BYTES_PER_THREAD)));
}
