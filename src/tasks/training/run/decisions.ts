/**
 * @file Whether a run goes on, and whether a step counts: all decisions that the ranks of a run have to take alike, in one
 * place, where a communicator can spread those of rank 0.
 */
import { NumericsError } from '../../../core/errors.ts';
import { isFiniteStep, type StepResult } from '../step/train-step.ts';

/** When a session of a run stops before the run is finished; always after a whole step. */
export interface StopLimits {
  /** Stops after the current step, with a checkpoint. */
  readonly signal?: AbortSignal | undefined;
  /** Stops after this many steps of the run, or after this time, with a checkpoint; the run can go on later. */
  readonly stopAfterStep?: number | undefined;
  readonly stopAfterMs?: number | undefined;
}

export class RunDecisions {
  private readonly limits: StopLimits;
  private readonly lastStep: number;
  private readonly nowMs: () => number;
  private startedMs: number;
  private reservedMs = 0;

  /** @param steps - of the whole run */
  constructor(steps: number, limits: StopLimits, nowMs = () => performance.now()) {
    this.limits = limits;
    this.nowMs = nowMs;
    this.startedMs = nowMs();
    this.lastStep = Math.min(steps, limits.stopAfterStep ?? Infinity);
  }

  /** Is there nothing to do after `step`, however much time is left? */
  isOver(step: number): boolean {
    return step >= this.lastStep || this.isInterrupted;
  }

  get isInterrupted(): boolean {
    return this.limits.signal?.aborted === true;
  }

  get signal(): AbortSignal | undefined {
    return this.limits.signal;
  }

  /** Time limits count from here. */
  startClock(): void {
    this.startedMs = this.nowMs();
  }

  get elapsedMs(): number {
    return this.nowMs() - this.startedMs;
  }

  /** Undefined where a session may take any time. */
  get limitMs(): number | undefined {
    return this.limits.stopAfterMs;
  }

  /** Keeps time for what comes after the last step, before the limit. */
  reserve(ms: number): void {
    this.reservedMs = ms;
  }

  goesOn(step: number): boolean {
    return !this.isOver(step) && this.elapsedMs + this.reservedMs < (this.limitMs ?? Infinity);
  }

  /** What `work` gives; nothing if it gives up because the run is to stop. */
  async unlessInterrupted<T>(work: Promise<T>): Promise<T | undefined> {
    return work.catch((error: unknown) => {
      if (this.isInterrupted) return undefined;
      throw error;
    });
  }
}

/**
 * @param pictures - names of those in the batch
 * @param lastCheckpoint - undefined if there is none yet
 * @throws NumericsError naming the step, its pictures and the checkpoint to go back to
 */
export function expectFiniteStep(
  step: number,
  result: StepResult,
  pictures: readonly string[],
  lastCheckpoint: string | undefined,
): void {
  if (isFiniteStep(result)) return;
  const more = pictures.length > 8 ? ` and ${pictures.length - 8} more` : '';
  throw new NumericsError({
    where: `training step ${step}`,
    problem: `the loss is ${result.loss}, the norm of the gradient ${result.gradientNorm}`,
    facts: [
      ['pictures', `${pictures.slice(0, 8).join(', ')}${more}`],
      ['last good checkpoint', lastCheckpoint ?? '(none yet)'],
    ],
    fix: 'lower optimizer.learningRate or set optimizer.clipNorm, and start another run with --name',
  });
}
