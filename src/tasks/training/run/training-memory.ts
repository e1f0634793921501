/** @file What a training takes at least, from shapes alone: nothing is allocated to find out. */

import { formatBytes } from '../../../core/byte-size.ts';
import { ConfigError } from '../../../core/errors.ts';
import { sizeOf } from '../../../core/shape.ts';
import { peakLiveBytes } from '../../../engine/graph/liveness.ts';
import { type BackendName, isGpu } from '../../../engine/runtime/session.ts';
import { memoryLimit } from '../../../host/machine/memory-node.ts';
import { countParameters } from '../../../networks/nn/module.ts';
import { imageShapeOf } from '../../../networks/trace.ts';
import { microBatchOf, type TrainConfig } from '../config/train-config.ts';
import { OPTIMIZER_SLOTS } from '../optim/optimizers.ts';
import type { Learning } from '../step/learning.ts';
import { gradientGraph } from '../step/loss-gradients.ts';

/** In bytes. */
export interface TrainingMemory {
  /** Weights, gradients, averages and what the optimizer keeps. */
  readonly state: number;
  /** Pictures of a step, and what it computes of them. */
  readonly step: number;
}

/** Pictures, noise, their mixture and the prediction. */
const COPIES_OF_PICTURES = 4;

type MemoryConfig = Pick<TrainConfig, 'optimizer' | 'averages' | 'training'>;

/**
 * An estimate from below, which is all the lower where a step is computed on a GPU, in memory of its own, or where the
 * rest does not fit anyway.
 */
export function trainingMemory(
  learning: Learning,
  config: MemoryConfig,
  device: BackendName,
  limit = memoryLimit(),
): TrainingMemory {
  const { network } = learning;
  const { batchSize, shards, recompute } = config.training;
  const microBatch = microBatchOf(config.training);
  // Weights, gradients of each shard and their sum, and what the optimizer moves along.
  const sums = microBatch === batchSize ? 0 : 1;
  const copies = 1 + shards + sums + OPTIMIZER_SLOTS[config.optimizer.kind].length + config.averages.length;
  const state = copies * bytesOf(countParameters(network.parameters()));
  const pictures = COPIES_OF_PICTURES * bytesOf(batchSize * sizeOf(imageShapeOf(network.config)));
  // A graph that is far too large has tables that do not fit themselves.
  if (isGpu(device) || state + pictures > limit) return { state, step: pictures };
  const graph = gradientGraph(learning, microBatch / shards, recompute);
  return { state, step: shards * peakLiveBytes(graph) };
}

/** What a checkpoint takes on a disk: weights, averages and what the optimizer keeps. */
export function checkpointBytes({ network }: Learning, { optimizer, averages }: MemoryConfig): number {
  const copies = 1 + OPTIMIZER_SLOTS[optimizer.kind].length + averages.length;
  return copies * bytesOf(countParameters(network.parameters()));
}

/** @throws ConfigError if the training cannot fit into memory */
export function expectEnoughMemory(
  learning: Learning,
  config: MemoryConfig,
  device: BackendName,
  limit = memoryLimit(),
): TrainingMemory {
  const memory = trainingMemory(learning, config, device, limit);
  expectFits(memory, config, limit);
  return memory;
}

/** @throws ConfigError if it is more memory than there is */
export function expectFits(
  { state, step }: TrainingMemory,
  config: MemoryConfig,
  limit = memoryLimit(),
): void {
  if (state + step <= limit) return;
  throw new ConfigError({
    where: 'training',
    problem: `it needs at least ${formatBytes(state + step)} of memory, there are ${formatBytes(limit)}`,
    facts: [
      ['weights, gradients, optimizer, averages', formatBytes(state)],
      [`a step of ${config.training.batchSize} images`, formatBytes(step)],
    ],
    fix: `use ${state > step ? 'fewer parameters: fewer classes or a smaller width' : 'a smaller --global-batch-size, --image-size or model, or parts of the batch: --set training.microBatch=2'}`,
  });
}

const bytesOf = (count: number): number => count * Float32Array.BYTES_PER_ELEMENT;
