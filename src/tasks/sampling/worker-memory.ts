/** @file How much memory a worker takes, from what it will compute. */

import type { ImageSize } from '../../core/image-size.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { peakLiveBytes } from '../../engine/graph/liveness.ts';
import type { Denoiser } from '../../networks/denoisers/denoiser.ts';
import { countParameters } from '../../networks/nn/module.ts';
import { traceNetwork } from '../../networks/trace.ts';

// Measured (LOG.md), rounded up.

/** A thread with the runtime in it, before it has a model. */
const THREAD_BYTES = 80e6;
/** While it loads, a worker holds weights as they were sent and as it will use them. */
const COPIES_OF_WEIGHTS = 2;
/** ONNX Runtime keeps what the first run took beside what it planned for the others, and copies between layouts. */
const RUNTIME_OVERHEAD = 6.5;

export interface WorkerLoad {
  /** Guidance has an interval, so that the worker also holds the network without it. */
  readonly limited?: boolean;
  /** Of the images. Default: the one that the model was trained at. */
  readonly size?: ImageSize | undefined;
}

/** The most that a worker takes which draws `batchSize` images at once with guidance, in bytes. */
export function workerBytes(
  model: Denoiser,
  batchSize: number,
  { limited = false, size }: WorkerLoad = {},
): number {
  const weightBytes = Float32Array.BYTES_PER_ELEMENT * countParameters(model.parameters());
  // Guidance evaluates each image with and without its class.
  const guided =
    COPIES_OF_WEIGHTS * weightBytes + RUNTIME_OVERHEAD * activationBytes(model, 2 * batchSize, size);
  const unguided = limited ? weightBytes + RUNTIME_OVERHEAD * activationBytes(model, batchSize, size) : 0;
  return Math.round(THREAD_BYTES + guided + unguided);
}

/** What one run of the network has to hold at once. */
function activationBytes(model: Denoiser, rows: number, size: ImageSize | undefined): number {
  return peakLiveBytes(graphOf(traceNetwork(model, { batch: rows, size }).outputs));
}
