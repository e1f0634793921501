/** @file What a training loop needs of an objective, whichever it is. */
import type { HostTensor } from '../core/host-tensor.ts';
import type { RandomKey } from '../core/random.ts';
import type { Tensor, Unlabelled } from '../engine/graph/tensor.ts';
import type { Denoise, Images, PerSample } from './denoise.ts';

export interface Loss {
  /** What is minimised, [N]; the mean over the batch is the training loss. */
  readonly perSample: Unlabelled;
  /** The parts that it is the sum of, [N] each, by the name under which they are logged. */
  readonly terms: Readonly<Record<string, Tensor>>;
}

export interface Objective<TimeType extends 'i64' | 'f32' = 'i64' | 'f32'> {
  /** Element type of times: integer steps, or real times from 0 to 1. */
  readonly timeType: TimeType;
  /** Channels that the network gives per channel of the image: 2 where it predicts variances too. */
  readonly outputsPerChannel: 1 | 2;
  /** Random times to train at, [count]. */
  sampleTimes(key: RandomKey, count: number): HostTensor<TimeType>;
  /** Fixed times that cover the whole range evenly, [count]: held-out losses on them are comparable. */
  evaluationTimes(count: number): HostTensor<TimeType>;
  /**
   * @param x0 - images of the data, [N, C, H, W]
   * @param noise - standard normal, [N, C, H, W]
   * @param t - times of this objective's `timeType`, [N]
   */
  buildLoss(denoise: Denoise, x0: Images, noise: Images, t: PerSample): Loss;
}

/** The part of an objective that a measurement needs. */
export type MeasuredObjective = Pick<Objective, 'timeType' | 'evaluationTimes' | 'buildLoss'>;
