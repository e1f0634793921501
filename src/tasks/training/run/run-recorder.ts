/** @file What a run writes down as it goes: `stats.jsonl`, TensorBoard, held-out losses and sheets of samples. */
import type { CardOfRole, SavedNetwork } from '../../../models/saved-model.ts';
import type { Role } from '../../../networks/family.ts';
import type { RunConfig } from '../config/train-config.ts';
import type { RunDecisions } from './decisions.ts';
import type { HeldOutLoss } from './held-out-loss.ts';
import { Recurrence } from './recurrence.ts';
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
export interface DrawSamples<R extends Role = Role> {
  (model: DrawnModel<R>, path: string): Promise<Uint8Array>;
  /** How many images the network sees for a sheet at most, from which its time is estimated. Default: unknown. */
  evaluations?(card: CardOfRole[R]): number;
}

/** Scores samples of the averaged model; given by the caller, which knows metrics. May stop as {@link DrawSamples} does. */
export interface ScoreSamples<R extends Role = Role> {
  (model: DrawnModel<R>): Promise<SampleScores>;
  /** How many images the network sees for them, from which their time is estimated. Default: unknown. */
  evaluations?(card: CardOfRole[R]): number;
}

export interface SampleScores {
  readonly scores: Readonly<Record<string, number>>;
  /** How they were measured, as one word: those of different provenance are not compared. */
  readonly provenance: string;
}

type DrawnModel<R extends Role> = Pick<SavedNetwork<R>, 'card' | 'network' | 'weights'>;

export interface BestScore {
  readonly step: number;
  readonly score: number;
  readonly provenance: unknown;
}

/** Lines of measurements come no rarer than this. */
const LOG_SECONDS = 10;
/** Sheets come no rarer than this, where they are cheap beside the training. */
const SHEET_SECONDS = 600;
/** What training costs in forward passes: forward, and twice as much backward. */
const PASSES_OF_TRAINING = 3;
/** Of the time that a session has, its last sheet and its last scores take no more. */
const LARGEST_SHARE = 0.5;

/** What a session does at its end. */
interface LastWork {
  readonly isWanted: boolean;
  /** Is there time for it? */
  readonly fits: boolean;
  readonly seconds: number;
}

const NOTHING: LastWork = { isWanted: false, fits: false, seconds: 0 };

/** Measurements of a run, in `stats.jsonl` and for TensorBoard. */
export class RunLog {
  /** Of the step where the session begins, from an earlier one; undefined where none was measured. */
  readonly heldOutBefore: HeldOutMeasurement | undefined;
  private readonly records: readonly StatsRecord[];
  private readonly stats: StatsLog;
  private readonly tensorBoard: TensorBoardLog;

  private constructor(
    stats: StatsLog,
    tensorBoard: TensorBoardLog,
    records: readonly StatsRecord[],
    step: number,
  ) {
    this.stats = stats;
    this.tensorBoard = tensorBoard;
    this.records = records;
    this.heldOutBefore = heldOutRecordedAt(step, records);
  }

  /** The log of a run that goes on after `step`; 0 is a new one. */
  static async open(folder: RunFolder, step: number): Promise<RunLog> {
    const stats = await StatsLog.open(folder.stats, step);
    try {
      const records = await readStats(folder.stats);
      const session = step === 0 ? {} : { resumedAfterStep: step };
      return new RunLog(stats, new TensorBoardLog(folder.path, session), records, step);
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

  scores(step: number, { scores, provenance }: SampleScores): void {
    this.stats.append({ step, ...scores, provenance });
    this.tensorBoard.scalars(step, prefixed('samples/', scores));
  }

  /** The smallest score of earlier sessions, among those of the latest provenance; undefined where none was measured. */
  bestBefore(name: string | null): BestScore | undefined {
    const all = this.records.flatMap(({ step, provenance, [name ?? '']: score }) =>
      typeof score === 'number' ? [{ step, score, provenance }] : [],
    );
    const measured = all.filter(({ provenance }) => provenance === all.at(-1)?.provenance);
    return measured.sort((a, b) => a.score - b.score)[0];
  }

  samples(step: number, png: Uint8Array): void {
    this.tensorBoard.image(step, 'samples', png);
  }

  close(): void {
    this.stats.close();
    this.tensorBoard.close();
  }
}

/**
 * Whoever watches a run hears of each step. Written down are each `logEvery`-th, the first after some seconds, and the last
 * of a session.
 */
export function stepRecorder(
  { logging, training }: RunConfig,
  log: Pick<RunLog, 'step'>,
  observer: RunObserver,
): LoopListener {
  let unwritten: StepReport | undefined;
  let writtenAt = 0;
  const write = ({ step, sessionSeconds, ...report }: StepReport) => {
    const { loss, terms, gradientNorm, learningRate, imagesPerSecond } = report;
    log.step(step, step * training.batchSize, {
      loss,
      ...terms,
      gradientNorm,
      learningRate,
      imagesPerSecond,
    });
    writtenAt = sessionSeconds;
    unwritten = undefined;
  };
  return {
    onStep(report) {
      observer.onStep?.(report);
      unwritten = report;
      const { step, sessionSeconds } = report;
      if (isDue(step, logging.logEvery) || sessionSeconds - writtenAt >= LOG_SECONDS) write(report);
    },
    async onEnd() {
      if (unwritten !== undefined) write(unwritten);
    },
  };
}

export interface EvaluatorParts<R extends Role> {
  readonly logging: RunConfig['logging'];
  readonly folder: Pick<RunFolder, 'samplesAt'>;
  readonly log: Pick<RunLog, 'heldOutBefore' | 'heldOut' | 'samples' | 'scores' | 'bestBefore'>;
  readonly decisions: RunDecisions;
  readonly observer: RunObserver;
  /** The model as it is now, with its averaged weights. */
  readonly snapshot: (step: number) => DrawnModel<R>;
  readonly heldOutLoss: Pick<HeldOutLoss, 'measure'> | undefined;
  readonly drawSamples: DrawSamples<R> | undefined;
  readonly scoreSamples: ScoreSamples<R> | undefined;
  /** Keeps the checkpoint of a step. */
  readonly keep: (step: number) => Promise<void>;
}

/**
 * Measures and draws the averaged model, at the steps that `logging` names and where a session begins and ends; draws it by
 * the clock, too.
 */
export class RunEvaluator<R extends Role> implements LoopListener {
  private readonly parts: EvaluatorParts<R>;
  private readonly measuring: Recurrence;
  private readonly drawing: Recurrence;
  private readonly scoring: Recurrence;
  private measured: HeldOutCourse | undefined;
  /** The step of the latest sheet, or the one at which the session began. */
  private drawn: number | undefined;
  /** The step of the latest scores, or the one at which the session began. */
  private scored: number | undefined;
  private best: BestScore | undefined;
  private lastSheet = NOTHING;
  private lastScores = NOTHING;

  constructor(parts: EvaluatorParts<R>) {
    const { heldOutBefore: before } = parts.log;
    this.parts = parts;
    this.best = parts.log.bestBefore(parts.logging.keepBest);
    const clock = () => parts.decisions.elapsedMs / 1000;
    this.measuring = new Recurrence(Number.POSITIVE_INFINITY, clock);
    this.drawing = new Recurrence(SHEET_SECONDS, clock);
    this.scoring = new Recurrence(Number.POSITIVE_INFINITY, clock);
    if (parts.heldOutLoss !== undefined && before !== undefined)
      this.measured = { first: before, last: before };
  }

  /** Undefined where no loss is measured. */
  get heldOut(): HeldOutCourse | undefined {
    return this.measured;
  }

  async onBegin(step: number): Promise<void> {
    this.drawn = step;
    this.scored = step;
    await this.measure(step);
  }

  async onStep(report: StepReport): Promise<void> {
    const { step } = report;
    const { logging } = this.parts;
    if (isDue(step, logging.evaluateEvery)) await this.measure(step);
    if (isDue(step, logging.scoreEvery ?? logging.evaluateEvery)) await this.score(step);
    const seconds = this.sheetSeconds(report);
    const isDueByTime = logging.sampleEvery !== null && this.drawing.isDue(seconds);
    if (isDue(step, logging.sampleEvery) || isDueByTime) await this.draw(step);
    this.reserve(report);
  }

  async onEnd(step: number): Promise<void> {
    await this.measure(step);
    if (this.scored !== step)
      await this.finish(this.lastScores, 'samples are not scored', () => this.score(step));
    if (this.drawn !== step) await this.finish(this.lastSheet, 'no sheet is drawn', () => this.draw(step));
  }

  private async finish({ isWanted, fits, seconds }: LastWork, lack: string, work: () => Promise<void>) {
    if (isWanted && fits) await work();
    else if (isWanted && seconds > 0) {
      const { onWarning } = this.parts.observer;
      onWarning?.(`${lack}: it would take some ${Math.ceil(seconds)} s, most of the session`);
    }
  }

  /** Keeps time for the end of the session: for a sheet and for scores, unless they would take most of all time. */
  private reserve(report: StepReport): void {
    const { logging, decisions, drawSamples, scoreSamples } = this.parts;
    const { limitMs = Number.POSITIVE_INFINITY } = decisions;
    let kept = 0;
    const plan = (isWanted: boolean, seconds: number): LastWork => {
      const fits = 1000 * (kept + seconds) <= LARGEST_SHARE * limitMs;
      if (isWanted && fits) kept += seconds;
      return { isWanted, fits, seconds };
    };
    const drawsSheets = logging.sampleEvery !== null && drawSamples !== undefined;
    this.lastSheet = plan(drawsSheets, this.sheetSeconds(report));
    this.lastScores = plan(scoreSamples !== undefined, this.scoreSeconds(report));
    decisions.reserve(1000 * (this.measuring.seconds + kept));
  }

  private sheetSeconds(report: StepReport): number {
    return this.secondsFor(this.drawing, this.parts.drawSamples, report);
  }

  private scoreSeconds(report: StepReport): number {
    return this.secondsFor(this.scoring, this.parts.scoreSamples, report);
  }

  /** As long as it took the last time; before, as the pace of training tells. */
  private secondsFor(
    done: Recurrence,
    work: { evaluations?(card: CardOfRole[R]): number } | undefined,
    { step, imagesPerSecond }: StepReport,
  ): number {
    if (done.seconds > 0) return done.seconds;
    const evaluations = work?.evaluations?.(this.parts.snapshot(step).card) ?? 0;
    return evaluations / (PASSES_OF_TRAINING * imagesPerSecond);
  }

  /** Measures the held-out loss of this step, unless that has been done or the run is to stop. */
  private async measure(step: number): Promise<void> {
    const { heldOutLoss, decisions, snapshot, log, observer } = this.parts;
    if (heldOutLoss === undefined || this.measured?.last.step === step) return;
    const { weights } = snapshot(step);
    const loss = await this.measuring.do(() =>
      decisions.unlessInterrupted(heldOutLoss.measure(weights, 1, decisions.signal)),
    );
    if (loss === undefined) return;
    const measurement = { step, loss };
    this.measured = { first: this.measured?.first ?? measurement, last: measurement };
    log.heldOut(measurement);
    observer.onHeldOutLoss?.(step, loss);
  }

  private async score(step: number): Promise<void> {
    const { scoreSamples, decisions, snapshot, log, observer, logging, keep } = this.parts;
    if (scoreSamples === undefined || decisions.isInterrupted) return;
    const found = await this.scoring.do(() => decisions.unlessInterrupted(scoreSamples(snapshot(step))));
    if (found === undefined) return;
    this.scored = step;
    const score = logging.keepBest === null ? undefined : found.scores[logging.keepBest];
    const { provenance } = found;
    const before = this.best?.provenance === provenance ? this.best.score : Number.POSITIVE_INFINITY;
    const isBest = score !== undefined && score < before;
    // First, so that a run that is killed here and has the checkpoint knows that it is the best.
    log.scores(step, found);
    if (isBest) {
      this.best = { step, score, provenance };
      await keep(step);
    }
    observer.onScores?.(step, found.scores, isBest);
  }

  private async draw(step: number): Promise<void> {
    const { drawSamples, decisions, snapshot, folder, log, observer } = this.parts;
    if (drawSamples === undefined || decisions.isInterrupted) return;
    const path = folder.samplesAt(step);
    const png = await this.drawing.do(() => decisions.unlessInterrupted(drawSamples(snapshot(step), path)));
    if (png === undefined) return;
    this.drawn = step;
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
