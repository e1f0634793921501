/** @file One optimizer update: loss and gradients of a batch, then AdamW over flat buffers. */

import type { TensorMap } from '../../../core/host-tensor.ts';
import type { FlowObjective } from '../../../diffusion/flow/objective.ts';
import type { GaussianObjective } from '../../../diffusion/gaussian/objective.ts';
import type { CompileOptions } from '../../../engine/compile/training.ts';
import type { Backend } from '../../../engine/runtime/session.ts';
import type { Denoiser } from '../../../networks/denoisers/denoiser.ts';
import type { OptimizerConfig, TrainConfig } from '../config/train-config.ts';
import { adamWStep, clippingScale, gradientNorm } from '../optim/adamw.ts';
import { emaDecayAt, learningRateAt } from '../optim/schedules.ts';
import { type BatchLoss, LossGradients } from './loss-gradients.ts';
import type { LossFeeds } from './loss-graph.ts';
import type { TrainState } from './train-state.ts';

export interface StepResult extends BatchLoss {
  readonly gradientNorm: number;
  readonly learningRate: number;
}

/** Only such a step is made: one that is not would be the end of all parameters. */
export function isFiniteStep({ loss, gradientNorm }: Pick<StepResult, 'loss' | 'gradientNorm'>): boolean {
  return Number.isFinite(loss) && Number.isFinite(gradientNorm);
}

type StepConfig = Pick<TrainConfig, 'optimizer' | 'training'>;

/** A compiled training step bound to the state it updates. */
export class TrainStep {
  private readonly lossGradients: LossGradients;
  private readonly state: TrainState;
  private readonly config: StepConfig;
  private readonly parameters: TensorMap;

  private constructor(lossGradients: LossGradients, state: TrainState, config: StepConfig) {
    this.lossGradients = lossGradients;
    this.state = state;
    this.config = config;
    this.parameters = state.weights('model');
  }

  static async compile(
    model: Denoiser,
    objective: FlowObjective | GaussianObjective,
    state: TrainState,
    config: StepConfig,
    backend: Backend,
    session: CompileOptions = {},
  ): Promise<TrainStep> {
    const { layout, buffers } = state;
    const options = { ...config.training, backend, session };
    const lossGradients = await LossGradients.compile(model, objective, layout, buffers.gradients, options);
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
    if (isFiniteStep(result)) this.update(step, learningRate, norm, optimizer);
    return result;
  }

  private update(step: number, learningRate: number, norm: number, optimizer: OptimizerConfig): void {
    adamWStep(this.state.buffers, step, {
      ...optimizer,
      learningRate,
      gradientScale: clippingScale(norm, optimizer.clipNorm),
      emaDecay: emaDecayAt(step, optimizer.emaDecay, optimizer.emaWarmup),
    });
  }

  release(): Promise<void> {
    return this.lossGradients.release();
  }
}
