/** @file A flow as a training objective. */

import type { Objective } from '../objective.ts';
import {
  type FlowOptions,
  flowLoss,
  flowOptions,
  sampleFlowTimes,
  timesIn,
  trainingInterval,
} from './flow.ts';

export interface FlowObjective extends Objective<'f32'> {
  readonly kind: 'flow';
  readonly options: FlowOptions;
}

/**
 * Options that are not given are SiT's. Held-out losses are taken at evenly spread times whatever the distribution of
 * the training, so that runs with different ones compare.
 */
export function flowObjective(options: Partial<FlowOptions> = {}): FlowObjective {
  const resolved = flowOptions(options);
  return {
    kind: 'flow',
    options: resolved,
    timeType: 'f32',
    outputsPerChannel: 1,
    sampleTimes: (key, count) => sampleFlowTimes(resolved, key, count),
    evaluationTimes: (count) =>
      timesIn(
        trainingInterval(resolved),
        Array.from({ length: count }, (_, i) => (i + 0.5) / count),
      ),
    buildLoss: (denoise, data, noise, t) => flowLoss(resolved, denoise, data, noise, t),
  };
}
