/** @file What a run tells whoever watches it. */
import type { DataConfig } from '../../../data/datasets/data-config.ts';
import type { OpenedData } from '../../../data/datasets/open-data-node.ts';
import type { RunConfig } from '../config/train-config.ts';
import type { InitialWeights } from './initial-weights.ts';
import type { ChangedOption } from './run-config.ts';
import type { StepReport } from './training-loop.ts';

/** Each may listen to what they care for. */
export interface RunObserver {
  /** What is known of the files of the data before the first step. */
  onData?(opened: OpenedData, data: DataConfig): void;
  /** The run goes on with its pictures, which lie elsewhere by now. */
  onMovedData?(from: string, to: string): void;
  /** A run goes on with other options than those of its last session. */
  onChangedOptions?(changes: readonly ChangedOption[], config: RunConfig): void;
  onResume?(step: number, path: string): void;
  /** A new run begins with the weights of a file. */
  onInitialWeights?(initial: InitialWeights): void;
  /** A new run has its weights, and begins. */
  onBegin?(): void;
  onStep?(report: StepReport): void;
  onHeldOutLoss?(step: number, loss: number): void;
  /** @param isBest - is the checkpoint of this step kept for its score? */
  onScores?(step: number, scores: Readonly<Record<string, number>>, isBest: boolean): void;
  onSamples?(step: number, path: string): void;
  onCheckpoint?(step: number, path: string): void;
  onWarning?(message: string): void;
}
