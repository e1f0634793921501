/** @file Writes the checkpoints of a run as it goes, and one where a session ends. */
import { writeSafetensors } from '../../../formats/file-node.ts';
import { cardMetadata, type NetworkCard } from '../../../models/saved-model.ts';
import type { RunConfig } from '../config/train-config.ts';
import type { TrainState } from '../step/train-state.ts';
import { Recurrence } from './recurrence.ts';
import type { RunFolder } from './run-folder.ts';
import type { RunObserver } from './run-observer.ts';
import { isDue } from './run-recorder.ts';
import type { LoopListener, StepReport } from './training-loop.ts';

/** A crash costs no more than this, however slow the steps are. */
const LONGEST_SECONDS = 600;

export interface WriterParts {
  readonly config: RunConfig;
  readonly folder: RunFolder;
  readonly state: TrainState;
  readonly card: (step: number) => NetworkCard;
  /** The step of the checkpoint that the session began with; 0 if it began with none. */
  readonly step: number;
  /** The step of the best checkpoint of earlier sessions, if one is kept. */
  readonly best?: number | undefined;
  readonly observer: RunObserver;
  /** In seconds. */
  readonly clock: () => number;
}

export class CheckpointWriter implements LoopListener {
  private readonly parts: WriterParts;
  private readonly byTime: Recurrence;
  private written: number | undefined;
  private best: number | undefined;

  constructor(parts: WriterParts) {
    this.parts = parts;
    this.byTime = new Recurrence(LONGEST_SECONDS, parts.clock);
    this.best = parts.best;
    this.written = parts.step === 0 ? undefined : parts.step;
  }

  /** The latest of the run; undefined before there is one. */
  get last(): string | undefined {
    return this.written === undefined ? undefined : this.parts.folder.checkpointAt(this.written);
  }

  async onStep({ step }: StepReport): Promise<void> {
    const { logging, training } = this.parts.config;
    const isScheduled = isDue(step, logging.ckptEvery) || step === training.steps;
    if (isScheduled || this.byTime.isDue()) await this.write(step);
  }

  /** Writes the checkpoint of this step, which stays until there is a better one. */
  async keep(step: number): Promise<void> {
    this.best = step;
    await this.write(step);
  }

  onEnd(step: number): Promise<void> {
    return this.write(step);
  }

  private async write(step: number): Promise<void> {
    if (this.written === step) return;
    const { folder, state, card, config, observer } = this.parts;
    const path = folder.checkpointAt(step);
    await folder.expectHeld();
    await this.byTime.do(() => writeSafetensors(path, state.tensors(), cardMetadata(card(step))));
    this.written = step;
    await folder.prune(step, config.logging, this.best);
    observer.onCheckpoint?.(step, path);
  }
}
