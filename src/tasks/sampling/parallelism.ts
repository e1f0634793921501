/** @file How many batches are drawn at once, and with how many threads each. */

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

/**
 * Completes what the user left open: a worker of one thread per core as long as there are batches for them, since
 * threads inside one operation wait for each other. With fewer batches, or too little memory for more workers, the cores
 * that are left are their threads.
 */
export function chooseParallelism(request: ParallelismRequest): Parallelism {
  const { batchCount, cores, freeBytes, workerBytes } = request;
  if (request.workers !== undefined) return { workers: request.workers, threads: request.threads ?? 1 };
  const fitting = Math.floor(cores / (request.threads ?? 1));
  const workers = Math.max(1, Math.min(fitting, batchCount, Math.floor(freeBytes / workerBytes)));
  return { workers, threads: request.threads ?? Math.max(1, Math.floor(cores / workers)) };
}
