/** @file The loss of a batch as a graph, and what it is fed. */
import { type HostTensor, hostTensor } from '../../../core/host-tensor.ts';
import { fold, normal, type RandomKey, uniform } from '../../../core/random.ts';
import type { Batch } from '../../../data/datasets/samples.ts';
import type { FlowObjective } from '../../../diffusion/flow/objective.ts';
import type { GaussianObjective } from '../../../diffusion/gaussian/objective.ts';
import type { Loss, MeasuredObjective } from '../../../diffusion/objective.ts';
import { input } from '../../../engine/graph/operators.ts';
import type { Denoiser } from '../../../networks/denoisers/denoiser.ts';
import { imageShapeOf } from '../../../networks/trace.ts';

/** Everything a loss is computed from, by the name of the graph's input. */
export interface LossFeeds {
  readonly batch: Batch;
  readonly noise: HostTensor<'f32'>;
  readonly t: HostTensor;
  /** Boolean [label embedders, N]; absent in evaluation. */
  readonly dropped?: HostTensor<'bool'>;
}

/** The loss as a graph over inputs `x0`, `noise`, `t`, `y` and, in training, `dropped`. */
export function buildLoss(
  model: Denoiser,
  objective: MeasuredObjective,
  batchSize: number,
  { training }: { readonly training: boolean },
): Loss {
  const { classDropoutProb } = model.config;
  const shape = [batchSize, ...imageShapeOf(model.config)];
  const y = input('y', [batchSize], 'i64');
  const isDropping = training && classDropoutProb > 0;
  const dropped = isDropping ? input('dropped', [model.labelEmbedders, batchSize], 'bool') : undefined;
  return objective.buildLoss(
    (x, t) =>
      model.apply(x as Tensor4, { t: t as Tensor1, y, ...(dropped === undefined ? {} : { dropped }) }),
    input('x0', shape),
    input('noise', shape),
    input('t', [batchSize], objective.timeType),
  );
}

type Tensor4 = Parameters<Denoiser['forward']>[0];
type Tensor1 = Parameters<Denoiser['forward']>[1]['t'];

export function feedsOf({ batch, noise, t, dropped }: LossFeeds): Map<string, HostTensor> {
  const feeds = new Map<string, HostTensor>([
    ['x0', batch.x],
    ['y', batch.y],
    ['noise', noise],
    ['t', t],
  ]);
  if (dropped !== undefined) feeds.set('dropped', dropped);
  return feeds;
}

/** What chance decides in step `step`: a function of the key and the step, so that resuming repeats it exactly. */
export function drawRandomness(
  key: RandomKey,
  step: number,
  batch: Batch,
  model: Denoiser,
  objective: FlowObjective | GaussianObjective,
): LossFeeds {
  const stepKey = fold(key, 'step', step);
  const count = batch.y.data.length;
  const { classDropoutProb } = model.config;
  const draws = uniform(fold(stepKey, 'dropout'), model.labelEmbedders * count);
  return {
    batch,
    noise: hostTensor('f32', batch.x.shape, normal(fold(stepKey, 'noise'), batch.x.data.length)),
    t: objective.sampleTimes(fold(stepKey, 'time'), count),
    dropped: hostTensor(
      'bool',
      [model.labelEmbedders, count],
      Uint8Array.from(draws, (draw) => (draw < classDropoutProb ? 1 : 0)),
    ),
  };
}

/** Part `shard` of `shards` equal parts of a batch. Tensors over samples share memory with the whole. */
export function shardOf(feeds: LossFeeds, shard: number, shards: number): LossFeeds {
  if (shards === 1) return feeds;
  const { batch, noise, t, dropped } = feeds;
  const count = batch.y.data.length / shards;
  const rows = <T extends HostTensor>(tensor: T): T => {
    const size = tensor.data.length / shards;
    return {
      ...tensor,
      shape: tensor.shape.with(0, count),
      data: tensor.data.subarray(shard * size, (shard + 1) * size),
    };
  };
  return {
    batch: { x: rows(batch.x), y: rows(batch.y) },
    noise: rows(noise),
    t: rows(t),
    ...(dropped === undefined ? {} : { dropped: columns(dropped, shard * count, count) }),
  };
}

function columns({ shape, data }: HostTensor<'bool'>, start: number, count: number): HostTensor<'bool'> {
  const [rows, width] = shape as [number, number];
  const part = new Uint8Array(rows * count);
  for (let row = 0; row < rows; row++) {
    part.set(data.subarray(row * width + start, row * width + start + count), row * count);
  }
  return hostTensor('bool', [rows, count], part);
}
