/** @file Trains a cell to its end, wherever it was left, and measures it. */

import { ConfigError } from '../../core/errors.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import { openCheckpoint } from '../../models/bundled-node.ts';
import type { TrainingScores } from '../evaluation/training-scores-node.ts';
import { classSheets } from '../sampling/class-sheet-node.ts';
import type { TrainConfig } from '../training/config/train-config.ts';
import type { RunObserver } from '../training/run/run-observer.ts';
import { planTraining, type TrainingPlan, trainInFolder } from '../training/run/training-session.ts';
import { type Cell, writeMetrics } from './cell.ts';
import { type CellMetrics, evaluateModel } from './evaluate.ts';
import type { EvaluationSettings } from './grid-schema.ts';

/** What scores the samples of a run, if its configuration asks for scores. */
export type OpenScores = (
  config: TrainConfig,
  plan: Pick<TrainingPlan, 'data'>,
) => Promise<TrainingScores | undefined>;

export interface CellOptions {
  readonly backend: Backend;
  readonly threads: number;
  readonly version: string;
  readonly signal: AbortSignal;
  readonly observer: RunObserver;
  /** Scores samples during the training of a cell whose configuration asks for it. */
  readonly openScores?: OpenScores | undefined;
  /** Training is over; what follows has no steps to report. */
  readonly onEvaluation: () => void;
}

/**
 * @throws the signal's reason when it is aborted, after a checkpoint
 * @throws ConfigError if the folder holds a run of another configuration
 */
export async function completeCell(
  cell: Cell,
  evaluation: EvaluationSettings,
  { onEvaluation, openScores, ...options }: CellOptions,
): Promise<CellMetrics> {
  const { config, runPath } = cell;
  const { backend, threads, signal, observer } = options;
  const plan = await planTraining(config, { backend, signal, observer });
  const drawSamples = classSheets({ backend, threads, signal, seed: config.training.seed });
  const scoreSamples = await openScores?.(config, plan);
  const { checkpoint } = await trainInFolder(plan, { ...options, config, runPath, drawSamples, scoreSamples })
    .catch((error: unknown) => {
      throw otherRun(error, cell);
    })
    .finally(() => scoreSamples?.release());
  options.signal.throwIfAborted();
  onEvaluation();
  const saved = await openCheckpoint(checkpoint);
  const metrics = await evaluateModel(saved, plan.data, evaluation, options);
  await writeMetrics(cell, evaluation, metrics);
  return metrics;
}

/** What to do about a folder that is another run's is not what it is for `udit train`. */
function otherRun(error: unknown, { runPath }: Cell): unknown {
  if (!(error instanceof ConfigError && error.where === runPath)) return error;
  const { where, problem } = error;
  const fix = 'write this grid into another folder with --out, or rename the variant';
  return new ConfigError({ where, problem, fix, cause: error });
}
