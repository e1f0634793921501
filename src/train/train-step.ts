/** @file One optimizer update: loss and gradients as one graph run by one session, then AdamW over flat buffers. */
import { type HostTensor, hostTensor, type TensorMap } from '../core/host-tensor.ts';
import { fold, normal, type RandomKey, uniform } from '../core/random.ts';
import type { Batch } from '../data/dataset.ts';
import type { FlowObjective } from '../diffusion/flow-objective.ts';
import type { GaussianObjective } from '../diffusion/gaussian-objective.ts';
import type { Loss } from '../diffusion/objective.ts';
import { graphOf } from '../graph/graph.ts';
import { input, mean } from '../graph/operators.ts';
import { gradients } from '../graph/vjp.ts';
import type { Denoiser } from '../models/denoiser.ts';
import { adamWStep, clippingScale, gradientNorm } from '../optim/adamw.ts';
import { emaDecayAt, learningRateAt } from '../optim/schedules.ts';
import { type CompileOptions, compileTraining } from '../runtime/compile.ts';
import type { Backend, Session } from '../runtime/session.ts';
import type { OptimizerConfig, TrainConfig } from './train-config.ts';
import type { TrainState } from './train-state.ts';

const GRADIENT_PREFIX = 'gradient.';

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
  objective: FlowObjective | GaussianObjective,
  batchSize: number,
  { training }: { readonly training: boolean },
): Loss {
  const { inChannels, inputSize, classDropoutProb } = model.config;
  const shape = [batchSize, inChannels, inputSize, inputSize];
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

export interface StepResult {
  readonly loss: number;
  /** Batch means of the loss's parts. */
  readonly terms: Readonly<Record<string, number>>;
  readonly gradientNorm: number;
  readonly learningRate: number;
}

/** A compiled training step bound to the state it updates. */
export class TrainStep {
  private readonly session: Session;
  private readonly state: TrainState;
  private readonly config: Pick<TrainConfig, 'optimizer' | 'training'>;
  private readonly parameterFeeds: TensorMap;
  private readonly gradientFetches: TensorMap;

  private constructor(
    session: Session,
    state: TrainState,
    config: Pick<TrainConfig, 'optimizer' | 'training'>,
  ) {
    this.session = session;
    this.state = state;
    this.config = config;
    this.parameterFeeds = state.weights('model');
    this.gradientFetches = state.layout.views(state.buffers.gradients, (name) => GRADIENT_PREFIX + name);
  }

  static async compile(
    model: Denoiser,
    objective: FlowObjective | GaussianObjective,
    state: TrainState,
    config: Pick<TrainConfig, 'optimizer' | 'training'>,
    backend: Backend,
    options: CompileOptions = {},
  ): Promise<TrainStep> {
    const { perSample, terms } = buildLoss(model, objective, config.training.batchSize, { training: true });
    const loss = mean(perSample);
    const trained = [...model.parameters()].filter(({ frozen }) => !frozen);
    const parameterGradients = gradients(
      loss,
      trained.map(({ tensor }) => tensor),
    );
    const graph = graphOf({
      loss,
      ...Object.fromEntries(Object.entries(terms).map(([name, term]) => [`term.${name}`, mean(term)])),
      ...Object.fromEntries(trained.map(({ name }, i) => [GRADIENT_PREFIX + name, parameterGradients[i]!])),
    });
    return new TrainStep(await compileTraining(graph, backend, options), state, config);
  }

  /**
   * Computes loss and gradients and, if both are finite, makes update number `step` (the first is 1). Otherwise the
   * state is left as it was; the caller sees it in the result.
   */
  async run(step: number, feeds: LossFeeds): Promise<StepResult> {
    const results = await this.session.run(
      new Map([...this.parameterFeeds, ...feedsOf(feeds)]),
      this.gradientFetches,
    );
    const { optimizer, training } = this.config;
    const norm = gradientNorm(this.state.buffers.gradients);
    const learningRate = learningRateAt(step, {
      ...optimizer,
      kind: optimizer.schedule,
      totalSteps: training.steps,
    });
    const loss = scalarOf(results.get('loss')!);
    if (Number.isFinite(loss) && Number.isFinite(norm)) this.update(step, learningRate, norm, optimizer);
    const terms = [...results].flatMap(([name, value]) =>
      name.startsWith('term.') ? [[name.slice('term.'.length), scalarOf(value)] as const] : [],
    );
    return { loss, terms: Object.fromEntries(terms), gradientNorm: norm, learningRate };
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
    return this.session.release();
  }
}

function scalarOf(tensor: HostTensor): number {
  return Number(tensor.data[0]);
}
