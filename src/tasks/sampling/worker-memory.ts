/** @file How much memory a worker takes, from what it will compute. */
import { graphOf } from '../../engine/graph/graph.ts';
import { peakLiveBytes } from '../../engine/graph/liveness.ts';
import { input } from '../../engine/graph/operators.ts';
import type { Unlabelled } from '../../engine/graph/tensor.ts';
import type { Denoiser } from '../../networks/denoisers/denoiser.ts';
import { countParameters } from '../../networks/nn/module.ts';

// Measured (LOG.md), rounded up.

/** A thread with the runtime in it, before it has a model. */
const THREAD_BYTES = 80e6;
/** While it loads, a worker holds weights as they were sent and as it will use them. */
const COPIES_OF_WEIGHTS = 2;
/** ONNX Runtime keeps what the first run took beside what it planned for the others, and copies between layouts. */
const RUNTIME_OVERHEAD = 6.5;

/**
 * The most that a worker takes which draws `batchSize` images at once with guidance, in bytes.
 *
 * @param limited - guidance has an interval, so that the worker also holds the network without it
 */
export function workerBytes(model: Denoiser, batchSize: number, limited = false): number {
  const weightBytes = Float32Array.BYTES_PER_ELEMENT * countParameters(model.parameters());
  // Guidance evaluates each image with and without its class.
  const guided = COPIES_OF_WEIGHTS * weightBytes + RUNTIME_OVERHEAD * activationBytes(model, 2 * batchSize);
  const unguided = limited ? weightBytes + RUNTIME_OVERHEAD * activationBytes(model, batchSize) : 0;
  return Math.round(THREAD_BYTES + guided + unguided);
}

/** What one run of the network has to hold at once. */
function activationBytes(model: Denoiser, rows: number): number {
  const { inChannels, inputSize } = model.config;
  const x = input('x', [rows, inChannels, inputSize, inputSize]) as Unlabelled;
  const condition = { t: input('t', [rows]) as Unlabelled, y: input('y', [rows], 'i64') as Unlabelled };
  return peakLiveBytes(graphOf({ out: model.apply(x, condition) }));
}
