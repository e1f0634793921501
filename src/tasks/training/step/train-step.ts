/** @file One update: loss and gradients of a batch, then the optimizer over flat buffers. */

import type { TensorMap } from '../../../core/host-tensor.ts';
import type { CompileOptions } from '../../../engine/compile/training.ts';
import type { Backend } from '../../../engine/runtime/session.ts';
import { microBatchOf, type TrainConfig } from '../config/train-config.ts';
import { averageDecayAt } from '../optim/averages.ts';
import { clippingScale, gradientNorm } from '../optim/clipping.ts';
import type { Optimizer } from '../optim/optimizer.ts';
import { createOptimizer } from '../optim/optimizers.ts';
import { learningRateAt } from '../optim/schedules.ts';
import type { Learning, LossFeeds } from './learning.ts';
import { type BatchLoss, LossGradients } from './loss-gradients.ts';
import type { TrainState } from './train-state.ts';

export interface StepResult extends BatchLoss {
  readonly gradientNorm: number;
  readonly learningRate: number;
}

/** Only such a step is made: one that is not would be the end of all parameters. */
export function isFiniteStep({ loss, gradientNorm }: Pick<StepResult, 'loss' | 'gradientNorm'>): boolean {
  return Number.isFinite(loss) && Number.isFinite(gradientNorm);
}

type StepConfig = Pick<TrainConfig, 'optimizer' | 'averages' | 'training'>;

/** A compiled training step bound to the state it updates. */
export class TrainStep {
  private readonly lossGradients: LossGradients;
  private readonly state: TrainState;
  private readonly config: StepConfig;
  private readonly optimizer: Optimizer;
  private readonly parameters: TensorMap;

  private constructor(lossGradients: LossGradients, state: TrainState, config: StepConfig) {
    this.lossGradients = lossGradients;
    this.state = state;
    this.config = config;
    this.optimizer = createOptimizer(config.optimizer, config.averages.length);
    this.parameters = state.weights('model');
  }

  static async compile(
    learning: Learning,
    state: TrainState,
    config: StepConfig,
    backend: Backend,
    session: CompileOptions = {},
  ): Promise<TrainStep> {
    const { layout, buffers } = state;
    const options = { ...config.training, microBatch: microBatchOf(config.training), backend, session };
    const lossGradients = await LossGradients.compile(learning, layout, buffers.gradients, options);
    return new TrainStep(lossGradients, state, config);
  }

  /**
   * Computes loss and gradients and, if both are finite, makes update number `step` (the first is 1). Otherwise the
   * state is left as it was; the caller sees it in the result.
   */
  async run(step: number, feeds: LossFeeds): Promise<StepResult> {
    const batchLoss = await this.lossGradients.run(this.parameters, feeds);
    const { optimizer, training } = this.config;
    const norm = gradientNorm(this.state.buffers.gradients);
    const schedule = { ...optimizer, kind: optimizer.schedule, totalSteps: training.steps };
    const learningRate = learningRateAt(step, schedule);
    const result = { ...batchLoss, gradientNorm: norm, learningRate };
    if (isFiniteStep(result)) this.update(step, learningRate, norm);
    return result;
  }

  private update(step: number, learningRate: number, norm: number): void {
    const { optimizer, averages } = this.config;
    this.optimizer.update(this.state.buffers, {
      step,
      learningRate,
      gradientScale: clippingScale(norm, optimizer.clipNorm),
      averageDecays: averages.map((average) => averageDecayAt(step, average)),
    });
  }

  release(): Promise<void> {
    return this.lossGradients.release();
  }
}
