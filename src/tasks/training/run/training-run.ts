/** @file A training run in its folder: opens or resumes it, makes the steps, and writes what people look at. */
import { setImmediate as nextTick } from 'node:timers/promises';
import { NumericsError } from '../../../core/errors.ts';
import { fold, type RandomKey, randomKey } from '../../../core/random.ts';
import { type Dataset, loadBatch } from '../../../data/datasets/dataset.ts';
import { ClassBalancedOrder, ShuffledOrder, type TrainingOrder } from '../../../data/datasets/shuffle.ts';
import type { Split } from '../../../data/datasets/split.ts';
import type { Background } from '../../../data/images/background.ts';
import type { FlowObjective } from '../../../diffusion/flow/objective.ts';
import type { GaussianObjective } from '../../../diffusion/gaussian/objective.ts';
import { createObjective } from '../../../diffusion/objectives.ts';
import type { CompileOptions } from '../../../engine/compile/training.ts';
import type { Backend } from '../../../engine/runtime/session.ts';
import { writeSafetensors } from '../../../formats/file-node.ts';
import { cardMetadata, type ModelCard, type SavedModel } from '../../../models/saved-model.ts';
import type { Denoiser } from '../../../networks/denoisers/denoiser.ts';
import { createModel, type ModelSpec } from '../../../networks/registry.ts';
import { modelForData } from '../config/model-for-data.ts';
import type { TrainConfig } from '../config/train-config.ts';
import { drawRandomness } from '../step/loss-graph.ts';
import { TrainState } from '../step/train-state.ts';
import { type StepResult, TrainStep } from '../step/train-step.ts';
import { HeldOutLoss } from './held-out-loss.ts';
import { type InitialWeights, startFromCheckpoint } from './initial-weights.ts';
import type { RunFolder } from './run-folder.ts';
import { readStats, StatsLog, type StatsRecord } from './stats-log.ts';
import { TensorBoardLog } from './tensorboard.ts';

/** Progress as of one step. */
export interface StepReport extends StepResult {
  readonly step: number;
  /** Training time of this session so far, without what was measured and drawn before it. */
  readonly sessionSeconds: number;
  /** Since this session of the run began, without evaluation and sampling. */
  readonly imagesPerSecond: number;
}

/** What the run tells whoever watches it; each may listen to what they care for. */
export interface RunObserver {
  /** Some of the pictures show what is behind them. */
  onTransparency?(pictures: number, background: Background): void;
  onResume?(step: number, path: string): void;
  /** A new run begins with the weights of a file. */
  onInitialWeights?(initial: InitialWeights): void;
  onStep?(report: StepReport): void;
  onHeldOutLoss?(step: number, loss: number): void;
  onSamples?(step: number, path: string): void;
  onCheckpoint?(step: number, path: string): void;
  onWarning?(message: string): void;
}

/**
 * Draws the fixed-noise grid of the averaged model as a PNG file; given by the caller, which knows samplers. May stop
 * when the run does, by throwing.
 */
export type DrawSamples = (
  model: Pick<SavedModel, 'card' | 'model' | 'weights'>,
  path: string,
) => Promise<Uint8Array>;

export interface RunOptions {
  readonly config: TrainConfig;
  readonly folder: RunFolder;
  readonly data: Split;
  readonly backend: Backend;
  readonly session: CompileOptions;
  readonly observer: RunObserver;
  /** Default: no sheets are drawn. */
  readonly drawSamples?: DrawSamples;
  /** Of udit; checkpoints record it. */
  readonly version: string;
  /** Stops after the current step, with a checkpoint. */
  readonly signal?: AbortSignal;
  /** Stops after this many steps of the run, or after this time, with a checkpoint; the run can go on later. */
  readonly stopAfterStep?: number;
  readonly stopAfterMs?: number;
}

export interface RunResult {
  readonly step: number;
  readonly finished: boolean;
  readonly checkpoint: string;
  /** Held-out losses where this session began and where it ended; undefined where none are measured. */
  readonly heldOut: { readonly first: HeldOutMeasurement; readonly last: HeldOutMeasurement } | undefined;
}

export interface HeldOutMeasurement {
  readonly step: number;
  readonly loss: number;
}

/** Trains until the configured step, an abort, or a limit of `options`; the same call again continues. */
export async function runTraining(options: RunOptions): Promise<RunResult> {
  const run = await TrainingRun.open(options);
  try {
    return await run.train();
  } finally {
    await run.close();
  }
}

class TrainingRun {
  private readonly options: RunOptions;
  private readonly objective: FlowObjective | GaussianObjective;
  private readonly spec: ModelSpec;
  private readonly model: Denoiser;
  private readonly state: TrainState;
  private readonly key: RandomKey;
  private readonly order: TrainingOrder;
  private readonly trainStep: TrainStep;
  private readonly heldOutLoss: HeldOutLoss | undefined;
  private readonly stats: StatsLog;
  private readonly tensorBoard: TensorBoardLog;
  private step: number;
  private checkpointed: number | undefined;
  private heldOut: RunResult['heldOut'];
  private readonly timer = new StepTimer();
  private startedMs = 0;

  private constructor(options: RunOptions, parts: RunParts) {
    this.options = options;
    this.objective = parts.objective;
    this.spec = parts.spec;
    this.model = parts.model;
    this.state = parts.state;
    this.trainStep = parts.trainStep;
    this.heldOutLoss = parts.heldOutLoss;
    this.stats = parts.stats;
    this.tensorBoard = parts.tensorBoard;
    this.step = parts.step;
    this.heldOut = parts.heldOut && { first: parts.heldOut, last: parts.heldOut };
    this.checkpointed = parts.step === 0 ? undefined : parts.step;
    this.key = randomKey(options.config.training.seed);
    this.order = trainingOrder(fold(this.key, 'order'), options.data.training, options.config);
  }

  static async open(options: RunOptions): Promise<TrainingRun> {
    const { config, folder, data, backend, session, observer } = options;
    const objective = createObjective(config.objective);
    const spec = modelForData(config, data.training, objective);
    const model = createModel(spec);
    const state = TrainState.initial(model, config.training.seed);
    const latest = await folder.latestCheckpoint((message) => observer.onWarning?.(message));
    const { batchSize, initFrom } = config.training;
    if (latest !== undefined) {
      state.restore(latest.file, latest.path, model);
      observer.onResume?.(latest.step, latest.path);
    } else if (initFrom !== null) {
      observer.onInitialWeights?.(await startFromCheckpoint(initFrom, model, state));
    }
    const step = latest?.step ?? 0;
    const stats = await StatsLog.open(folder.stats, step);
    const trainStep = await TrainStep.compile(model, objective, state, config, backend, session);
    const measures = config.logging.evaluateEvery !== null && data.heldOut.length > 0;
    return new TrainingRun(options, {
      objective,
      spec,
      model,
      state,
      step,
      trainStep,
      heldOutLoss: measures
        ? await HeldOutLoss.compile(model, objective, data.heldOut, batchSize, backend, session)
        : undefined,
      stats,
      heldOut: measures ? heldOutRecordedAt(step, await readStats(folder.stats)) : undefined,
      tensorBoard: new TensorBoardLog(folder.path, step === 0 ? {} : { resumedAfterStep: step }),
    });
  }

  async train(): Promise<RunResult> {
    const { config, signal, stopAfterStep = Infinity, stopAfterMs = Infinity } = this.options;
    const { steps } = config.training;
    const isOver = () => this.step >= Math.min(steps, stopAfterStep) || signal?.aborted === true;

    if (!isOver()) await this.measureHeldOut();
    this.startedMs = performance.now();
    while (!isOver() && performance.now() - this.startedMs < stopAfterMs) {
      await this.makeStep();
      const { evaluateEvery, sampleEvery, ckptEvery } = config.logging;
      // Before all that may fail for want of space.
      if (isDue(this.step, ckptEvery) || this.step === steps) await this.saveCheckpoint();
      if (isDue(this.step, evaluateEvery)) await this.measureHeldOut();
      if (isDue(this.step, sampleEvery) && signal?.aborted !== true) await this.saveSamples();
      // Between steps, signals and timers of the process get their turn: a running session blocks them.
      await nextTick();
    }
    const checkpoint = await this.saveCheckpoint();
    await this.measureHeldOut();
    return { step: this.step, finished: this.step >= steps, checkpoint, heldOut: this.heldOut };
  }

  private async makeStep(): Promise<void> {
    const { config, data, observer } = this.options;
    const { batchSize } = config.training;
    this.timer.start();
    const nimg = this.step * batchSize;
    const indices = this.order.indicesAt(nimg, batchSize);
    const batch = await loadBatch(data.training, indices, { key: fold(this.key, 'augment'), nimg });
    const step = this.step + 1;
    const result = await this.trainStep.run(
      step,
      drawRandomness(this.key, step, batch, this.model, this.objective),
    );
    this.expectFinite(step, result, data.training, indices);
    this.step = step;
    this.timer.stop(batchSize);

    const sessionSeconds = (performance.now() - this.startedMs) / 1000;
    const report = { ...result, step, sessionSeconds, imagesPerSecond: this.timer.imagesPerSecond };
    observer.onStep?.(report);
    if (!isDue(step, config.logging.logEvery)) return;
    const { loss, terms, gradientNorm, learningRate, imagesPerSecond } = report;
    const measurements = { loss, ...terms, gradientNorm, learningRate, imagesPerSecond };
    this.stats.append({ step, nimg: step * batchSize, ...measurements });
    this.tensorBoard.scalars(step, prefixed('train/', measurements));
  }

  /** @throws NumericsError naming the step, its pictures and the checkpoint to go back to */
  private expectFinite(
    step: number,
    { loss, gradientNorm }: StepResult,
    dataset: Dataset,
    indices: Int32Array,
  ): void {
    if (Number.isFinite(loss) && Number.isFinite(gradientNorm)) return;
    const names = Array.from(indices, (index) => dataset.sampleNames[index]!);
    const last = this.checkpointed;
    throw new NumericsError({
      where: `training step ${step}`,
      problem: `the loss is ${loss}, the norm of the gradient ${gradientNorm}`,
      facts: [
        [
          'pictures',
          `${names.slice(0, 8).join(', ')}${names.length > 8 ? ` and ${names.length - 8} more` : ''}`,
        ],
        ['last good checkpoint', last === undefined ? '(none yet)' : this.options.folder.checkpointAt(last)],
      ],
      fix: 'lower optimizer.learningRate or set optimizer.clipNorm, and start another run with --name',
    });
  }

  /** Measures the held-out loss of this step, unless that has been done or the run is to stop. */
  private async measureHeldOut(): Promise<void> {
    if (this.heldOutLoss === undefined || this.heldOut?.last.step === this.step) return;
    const loss = await this.unlessStopped(
      this.heldOutLoss.measure(this.state.weights('ema'), 1, this.options.signal),
    );
    if (loss === undefined) return;
    const measurement = { step: this.step, loss };
    this.heldOut = { first: this.heldOut?.first ?? measurement, last: measurement };
    this.stats.append({ step: this.step, heldOutLoss: loss });
    this.tensorBoard.scalars(this.step, { 'held-out/loss': loss });
    this.options.observer.onHeldOutLoss?.(this.step, loss);
  }

  private async saveSamples(): Promise<void> {
    const { folder, drawSamples, observer } = this.options;
    if (drawSamples === undefined) return;
    const path = folder.samplesAt(this.step);
    const saved = { card: this.card(), model: this.model, weights: this.state.weights('ema') };
    const png = await this.unlessStopped(drawSamples(saved, path));
    if (png === undefined) return;
    this.tensorBoard.image(this.step, 'samples', png);
    observer.onSamples?.(this.step, path);
  }

  /** What `work` gives; nothing if it gives up because the run is to stop. */
  private unlessStopped<T>(work: Promise<T>): Promise<T | undefined> {
    return work.catch((error: unknown) => {
      if (this.options.signal?.aborted === true) return undefined;
      throw error;
    });
  }

  private async saveCheckpoint(): Promise<string> {
    const { folder, config, observer } = this.options;
    const path = folder.checkpointAt(this.step);
    if (this.checkpointed === this.step) return path;
    await writeSafetensors(path, this.state.tensors(), cardMetadata(this.card()));
    this.checkpointed = this.step;
    await folder.prune(this.step, config.logging);
    observer.onCheckpoint?.(this.step, path);
    return path;
  }

  private card(): ModelCard {
    const { config, data, version } = this.options;
    return {
      name: config.model.preset,
      spec: this.spec,
      objective: config.objective,
      classNames: data.training.classNames,
      step: this.step,
      nimg: this.step * config.training.batchSize,
      version,
    };
  }

  async close(): Promise<void> {
    await this.trainStep.release();
    await this.heldOutLoss?.release();
    this.stats.close();
    this.tensorBoard.close();
  }
}

interface RunParts {
  readonly objective: FlowObjective | GaussianObjective;
  readonly spec: ModelSpec;
  readonly model: Denoiser;
  readonly state: TrainState;
  readonly step: number;
  readonly trainStep: TrainStep;
  readonly heldOutLoss: HeldOutLoss | undefined;
  readonly stats: StatsLog;
  readonly tensorBoard: TensorBoardLog;
  /** Measured by an earlier session at the step where this one begins. */
  readonly heldOut: HeldOutMeasurement | undefined;
}

/** Time spent in steps, over a sliding window: the first steps of a session are slower than the rest. */
class StepTimer {
  private readonly window: { readonly elapsedMs: number; readonly images: number }[] = [];
  private startedMs = 0;

  start(): void {
    this.startedMs = performance.now();
  }

  stop(images: number): void {
    this.window.push({ elapsedMs: performance.now() - this.startedMs, images });
    if (this.window.length > 20) this.window.shift();
  }

  get imagesPerSecond(): number {
    const elapsedMs = this.window.reduce((sum, entry) => sum + entry.elapsedMs, 0);
    const images = this.window.reduce((sum, entry) => sum + entry.images, 0);
    return (1000 * images) / elapsedMs;
  }
}

function heldOutRecordedAt(step: number, records: readonly StatsRecord[]): HeldOutMeasurement | undefined {
  const loss = records.findLast((record) => record.step === step && 'heldOutLoss' in record)?.heldOutLoss;
  return typeof loss === 'number' ? { step, loss } : undefined;
}

function isDue(step: number, every: number | null): boolean {
  return every !== null && step % every === 0;
}

function prefixed(prefix: string, values: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));
}

function trainingOrder(key: RandomKey, { labels, length }: Dataset, { data }: TrainConfig): TrainingOrder {
  return data.balanceClasses ? new ClassBalancedOrder(key, labels) : new ShuffledOrder(key, length);
}
