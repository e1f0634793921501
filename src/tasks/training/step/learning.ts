/** @file What training needs to know of a network: its loss as a graph, and what a step feeds to it. */
import type { HostTensor } from '../../../core/host-tensor.ts';
import type { RandomKey } from '../../../core/random.ts';
import type { Batch } from '../../../data/datasets/samples.ts';
import type { Loss } from '../../../diffusion/objective.ts';
import type { Network } from '../../../networks/nn/network.ts';

export interface Feed {
  readonly tensor: HostTensor;
  /** The axis along which the samples of the batch lie. */
  readonly sampleAxis: 0 | 1;
}

/** Everything a loss is computed from besides parameters, by the name of the graph's input. */
export type LossFeeds = ReadonlyMap<string, Feed>;

/** How a network's loss is measured. */
export interface Measuring<N extends Network = Network> {
  readonly network: N;
  /** The loss as a graph; where it is measured without training, nothing is left to chance. */
  buildLoss(batchSize: number, options: { readonly training: boolean }): Loss;
  /**
   * A measurement of `turns` samples in all. Its randomness depends on the turn alone, so losses of different runs
   * compare, however batches are cut.
   *
   * @returns the feeds of a batch whose samples have these turns
   */
  measurement(turns: number): (turn: Int32Array, batch: Batch) => LossFeeds;
}

/** How a network learns. */
export interface Learning<N extends Network = Network> extends Measuring<N> {
  /** What chance decides in step `step`: a function of the key and the step, so that resuming repeats it exactly. */
  feedsOf(key: RandomKey, step: number, batch: Batch): LossFeeds;
}

/** Feeds with the samples along their first axis. */
export function perSampleFeeds(tensors: Readonly<Record<string, HostTensor>>): Map<string, Feed> {
  return new Map(Object.entries(tensors).map(([name, tensor]) => [name, { tensor, sampleAxis: 0 }]));
}

/** The tensors of the feeds, as a session takes them. */
export function tensorsOf(feeds: LossFeeds): Map<string, HostTensor> {
  return new Map(Array.from(feeds, ([name, { tensor }]) => [name, tensor]));
}

/** Part `shard` of `shards` equal parts of a batch. Tensors with the samples first share memory with the whole. */
export function shardOf(feeds: LossFeeds, shard: number, shards: number): LossFeeds {
  if (shards === 1) return feeds;
  return new Map(
    Array.from(feeds, ([name, { tensor, sampleAxis }]) => {
      const part = sampleAxis === 0 ? rows(tensor, shard, shards) : columns(tensor, shard, shards);
      return [name, { tensor: part, sampleAxis }];
    }),
  );
}

function rows(tensor: HostTensor, shard: number, shards: number): HostTensor {
  const size = tensor.data.length / shards;
  return {
    ...tensor,
    shape: tensor.shape.with(0, tensor.shape[0]! / shards),
    data: tensor.data.subarray(shard * size, (shard + 1) * size),
  } as HostTensor;
}

function columns(tensor: HostTensor, shard: number, shards: number): HostTensor {
  const [height, width] = tensor.shape as [number, number];
  const count = width / shards;
  const first = shard * count;
  const kept = Array.from({ length: height * count }, (_, i) => {
    return Math.floor(i / count) * width + first + (i % count);
  });
  const data = tensor.data.slice(0, kept.length);
  kept.forEach((from, to) => {
    data[to] = tensor.data[from]!;
  });
  return { ...tensor, shape: [height, count], data } as HostTensor;
}
