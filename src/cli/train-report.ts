/** @file What a person sees of a run in training: a bar on a terminal, lines elsewhere, and everything in `log.txt`. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { printableLine } from '../core/printable.ts';
import { AppendFile } from '../host/files/append-file-node.ts';
import type { RunConfig } from '../tasks/training/config/train-config.ts';
import type { InitialWeights } from '../tasks/training/run/initial-weights.ts';
import type { ChangedOption } from '../tasks/training/run/run-config.ts';
import type { RunObserver } from '../tasks/training/run/run-observer.ts';
import type { StepReport } from '../tasks/training/run/training-loop.ts';
import type { RunResult } from '../tasks/training/run/training-run.ts';
import { noteFiles } from './data-report.ts';
import { type Progress, startProgress, type Terminal } from './terminal.ts';
import { shortest } from './wording.ts';

const LONGEST_LIST = 6;

/** In `log.txt` a line comes after so many steps or seconds. */
const LOG_STEPS = 10;
const LOG_SECONDS = 10;

export interface RunWatcher {
  readonly observer: Required<Omit<RunObserver, 'onBegin'>>;
  /** Shows a line, and keeps it in the log. */
  say(line: string): void;
  stop(): void;
}

export interface WatchOptions {
  readonly runPath: string;
  /** The session ends at this step of the run … */
  readonly lastStep: number;
  /** … or after this time, if that is sooner. */
  readonly seconds?: number | undefined;
}

export function watchRun(terminal: Terminal, { runPath, ...limits }: WatchOptions): RunWatcher {
  let progress: Progress | undefined;
  let file: AppendFile | undefined;
  let first: StepReport | undefined;
  let course: SessionCourse | undefined;
  let loggedAt = 0;
  const pause = () => {
    progress?.stop();
    progress = undefined;
  };
  // The folder may not be there yet; what is said before it is made is shown only.
  const log = (line: string) => {
    if (file === undefined && existsSync(runPath)) file = new AppendFile(join(runPath, 'log.txt'));
    file?.append(`${new Date().toISOString()} ${line}\n`);
  };
  const say = (message: string) => {
    const line = printableLine(message);
    pause();
    terminal.err.write(`${line}\n`);
    log(line);
  };
  return {
    say,
    observer: {
      onData: (opened, data) => {
        for (const note of noteFiles(opened, data)) say(note);
      },
      onChangedOptions: (changes, config) => {
        for (const change of changes) say(describeChange(change, config));
      },
      onResume: (step, path) => say(`continuing at step ${step} from ${path}`),
      onInitialWeights: (initial) => say(`beginning with ${describeInitialWeights(initial)}`),
      onStep: (report) => {
        first ??= report;
        const before = course;
        course = courseOf(report, first, limits);
        if (course.unit !== before?.unit) pause();
        const { done, total } = course;
        const description = describeStep(report, course);
        progress ??= startProgress(terminal, { title: 'training', total });
        progress.update(done, description);
        const { step, sessionSeconds } = report;
        if (step % LOG_STEPS !== 0 && sessionSeconds - loggedAt < LOG_SECONDS) return;
        log(description);
        loggedAt = sessionSeconds;
      },
      onHeldOutLoss: (step, loss) => say(`step ${step}: held-out loss ${loss.toFixed(4)}`),
      onScores: (step, scores, isBest) => {
        const named = Object.entries(scores).map(([name, score]) => `${name} ${score.toPrecision(4)}`);
        say(`step ${step}: ${named.join(', ')}${isBest ? ': the best so far, its checkpoint is kept' : ''}`);
      },
      onSamples: (step, path) => say(`step ${step}: samples in ${path}`),
      onCheckpoint: (step, path) => say(`step ${step}: checkpoint ${path}`),
      onMovedData: (from, to) =>
        say(`the pictures have moved from ${shortest(from)} to ${shortest(to)}; they are the same`),
      onWarning: (message) => say(`warning: ${message}`),
    },
    stop() {
      pause();
      file?.close();
      file = undefined;
    },
  };
}

/** `training.steps is 30 from here on, 20 before; the learning rate stays 0.01` */
function describeChange({ key, before, after }: ChangedOption, { optimizer }: RunConfig): string {
  const change = `${key} is ${JSON.stringify(after)} from here on, ${JSON.stringify(before)} before`;
  if (key !== 'training.steps') return change;
  const { schedule, learningRate } = optimizer;
  return schedule === 'constant'
    ? `${change}; the learning rate stays ${learningRate}`
    : `${change}; the learning rate goes on as in a run of ${after} steps, whose cosine ends at 0 there`;
}

/** Progress of preparing a dataset; it shows only if there is something to prepare. */
export function preparationProgress(terminal: Terminal): {
  update(done: number, total: number): void;
  stop(): void;
} {
  let progress: Progress | undefined;
  return {
    update(done, total) {
      progress ??= startProgress(terminal, { title: 'preparing pictures', total });
      progress.update(done, `${done} of ${total}`);
    },
    stop() {
      progress?.stop();
      progress = undefined;
    },
  };
}

/** `21 tensors of weights.safetensors (ema); as in a run from scratch: blocks.1` */
export function describeInitialWeights({ from, takenOver, fresh, byName, averaged }: InitialWeights): string {
  const listed = fresh.slice(0, LONGEST_LIST).join(', ');
  const rest = fresh.length > LONGEST_LIST ? ` and ${fresh.length - LONGEST_LIST} more` : '';
  const anew = fresh.length === 0 ? '' : `; as in a run from scratch: ${listed}${rest}`;
  const tables = [
    byName.length === 0 ? '' : `; by the names of classes: ${byName.join(', ')}`,
    averaged.length === 0 ? '' : `; averaged over its classes: ${averaged.join(', ')}`,
  ];
  return `${takenOver} tensors of ${from}${tables.join('')}${anew}`;
}

/** How far a session is, counted in what ends it. */
interface SessionCourse {
  readonly unit: 'steps' | 'seconds';
  readonly done: number;
  readonly total: number;
}

/** Steps or time: whichever ends the session sooner at its pace. */
export function courseOf(
  { step, sessionSeconds }: Pick<StepReport, 'step' | 'sessionSeconds'>,
  first: Pick<StepReport, 'step'>,
  { lastStep, seconds }: Pick<WatchOptions, 'lastStep' | 'seconds'>,
): SessionCourse {
  const secondsPerStep = sessionSeconds / (step - first.step + 1);
  const inSteps: SessionCourse = { unit: 'steps', done: step, total: lastStep };
  if (seconds === undefined || (lastStep - step) * secondsPerStep <= seconds - sessionSeconds) return inSteps;
  return { unit: 'seconds', done: Math.min(seconds, sessionSeconds), total: seconds };
}

function describeStep({ step, loss, imagesPerSecond }: StepReport, { unit, total }: SessionCourse): string {
  const position = unit === 'steps' ? `step ${step} of ${total}` : `step ${step}`;
  return `${position} | loss ${loss.toFixed(4)} | ${imagesPerSecond.toFixed(1)} images/s`;
}

/** `1.0312 at step 0, 0.4127 at step 400` */
export function describeHeldOut({ first, last }: NonNullable<RunResult['heldOut']>): string {
  const measurements = first.step === last.step ? [last] : [first, last];
  return measurements.map(({ step, loss }) => `${loss.toFixed(4)} at step ${step}`).join(', ');
}
