/** @file What a run writes down as it goes: `stats.jsonl`, TensorBoard, held-out losses and sheets of samples. */
import type { SavedNetwork } from '../../../models/saved-model.ts';
import type { Role } from '../../../networks/family.ts';
import type { TrainConfig } from '../config/train-config.ts';
import type { RunDecisions } from './decisions.ts';
import type { HeldOutLoss } from './held-out-loss.ts';
import type { RunFolder } from './run-folder.ts';
import type { RunObserver } from './run-observer.ts';
import { readStats, StatsLog, type StatsRecord } from './stats-log.ts';
import { TensorBoardLog } from './tensorboard.ts';
import type { LoopListener, StepReport } from './training-loop.ts';

export interface HeldOutMeasurement {
  readonly step: number;
  readonly loss: number;
}

/** Held-out losses where a session began and where it is. */
export interface HeldOutCourse {
  readonly first: HeldOutMeasurement;
  readonly last: HeldOutMeasurement;
}

/**
 * Draws the fixed-noise sheet of the averaged model as a PNG file; given by the caller, which knows samplers. May stop
 * when the run does, by throwing.
 */
export type DrawSamples<R extends Role = Role> = (
  model: Pick<SavedNetwork<R>, 'card' | 'network' | 'weights'>,
  path: string,
) => Promise<Uint8Array>;

/** Measurements of a run, in `stats.jsonl` and for TensorBoard. */
export class RunLog {
  /** Of the step where the session begins, from an earlier one; undefined where none was measured. */
  readonly heldOutBefore: HeldOutMeasurement | undefined;
  private readonly stats: StatsLog;
  private readonly tensorBoard: TensorBoardLog;

  private constructor(stats: StatsLog, tensorBoard: TensorBoardLog, before: HeldOutMeasurement | undefined) {
    this.stats = stats;
    this.tensorBoard = tensorBoard;
    this.heldOutBefore = before;
  }

  /** The log of a run that goes on after `step`; 0 is a new one. */
  static async open(folder: RunFolder, step: number): Promise<RunLog> {
    const stats = await StatsLog.open(folder.stats, step);
    try {
      const before = heldOutRecordedAt(step, await readStats(folder.stats));
      const session = step === 0 ? {} : { resumedAfterStep: step };
      return new RunLog(stats, new TensorBoardLog(folder.path, session), before);
    } catch (error) {
      stats.close();
      throw error;
    }
  }

  step(step: number, nimg: number, measurements: Readonly<Record<string, number>>): void {
    this.stats.append({ step, nimg, ...measurements });
    this.tensorBoard.scalars(step, prefixed('train/', measurements));
  }

  heldOut({ step, loss }: HeldOutMeasurement): void {
    this.stats.append({ step, heldOutLoss: loss });
    this.tensorBoard.scalars(step, { 'held-out/loss': loss });
  }

  samples(step: number, png: Uint8Array): void {
    this.tensorBoard.image(step, 'samples', png);
  }

  close(): void {
    this.stats.close();
    this.tensorBoard.close();
  }
}

/** Whoever watches a run hears of each step; each `logEvery`-th is written down. */
export function stepRecorder(
  { logging, training }: TrainConfig,
  log: RunLog,
  observer: RunObserver,
): LoopListener {
  return {
    onStep(report) {
      observer.onStep?.(report);
      const { step, loss, terms, gradientNorm, learningRate, imagesPerSecond } = report;
      if (!isDue(step, logging.logEvery)) return;
      const measurements = { loss, ...terms, gradientNorm, learningRate, imagesPerSecond };
      log.step(step, step * training.batchSize, measurements);
    },
  };
}

export interface EvaluatorParts<R extends Role> {
  readonly logging: TrainConfig['logging'];
  readonly folder: RunFolder;
  readonly log: RunLog;
  readonly decisions: RunDecisions;
  readonly observer: RunObserver;
  /** The model as it is now, with its averaged weights. */
  readonly snapshot: (step: number) => Pick<SavedNetwork<R>, 'card' | 'network' | 'weights'>;
  readonly heldOutLoss: HeldOutLoss | undefined;
  readonly drawSamples: DrawSamples<R> | undefined;
}

/** Measures and draws the averaged model, at the steps that `logging` names and where a session begins and ends. */
export class RunEvaluator<R extends Role> implements LoopListener {
  private readonly parts: EvaluatorParts<R>;
  private measured: HeldOutCourse | undefined;

  constructor(parts: EvaluatorParts<R>) {
    const { heldOutBefore: before } = parts.log;
    this.parts = parts;
    if (parts.heldOutLoss !== undefined && before !== undefined)
      this.measured = { first: before, last: before };
  }

  /** Undefined where no loss is measured. */
  get heldOut(): HeldOutCourse | undefined {
    return this.measured;
  }

  onBegin(step: number): Promise<void> {
    return this.measure(step);
  }

  async onStep({ step }: StepReport): Promise<void> {
    const { logging, decisions } = this.parts;
    if (isDue(step, logging.evaluateEvery)) await this.measure(step);
    if (isDue(step, logging.sampleEvery) && !decisions.isInterrupted) await this.draw(step);
  }

  onEnd(step: number): Promise<void> {
    return this.measure(step);
  }

  /** Measures the held-out loss of this step, unless that has been done or the run is to stop. */
  private async measure(step: number): Promise<void> {
    const { heldOutLoss, decisions, snapshot, log, observer } = this.parts;
    if (heldOutLoss === undefined || this.measured?.last.step === step) return;
    const { weights } = snapshot(step);
    const loss = await decisions.unlessInterrupted(heldOutLoss.measure(weights, 1, decisions.signal));
    if (loss === undefined) return;
    const measurement = { step, loss };
    this.measured = { first: this.measured?.first ?? measurement, last: measurement };
    log.heldOut(measurement);
    observer.onHeldOutLoss?.(step, loss);
  }

  private async draw(step: number): Promise<void> {
    const { drawSamples, decisions, snapshot, folder, log, observer } = this.parts;
    if (drawSamples === undefined) return;
    const path = folder.samplesAt(step);
    const png = await decisions.unlessInterrupted(drawSamples(snapshot(step), path));
    if (png === undefined) return;
    log.samples(step, png);
    observer.onSamples?.(step, path);
  }
}

export function isDue(step: number, every: number | null): boolean {
  return every !== null && step % every === 0;
}

function heldOutRecordedAt(step: number, records: readonly StatsRecord[]): HeldOutMeasurement | undefined {
  const loss = records.findLast((record) => record.step === step && 'heldOutLoss' in record)?.heldOutLoss;
  return typeof loss === 'number' ? { step, loss } : undefined;
}

function prefixed(prefix: string, values: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));
}
