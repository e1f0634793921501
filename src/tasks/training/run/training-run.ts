/** @file A training run in its folder: opens or resumes it, and joins the loop with those who listen to it. */
import type { Split } from '../../../data/datasets/split.ts';
import type { CompileOptions } from '../../../engine/compile/training.ts';
import type { Backend } from '../../../engine/runtime/session.ts';
import { releasing } from '../../../engine/runtime/session-scope.ts';
import type { CardOfRole } from '../../../models/saved-model.ts';
import type { Role } from '../../../networks/family.ts';
import { microBatchOf, type RunConfig } from '../config/train-config.ts';
import { TrainState } from '../step/train-state.ts';
import { TrainStep } from '../step/train-step.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import { RunDecisions, type StopLimits } from './decisions.ts';
import { HeldOutLoss } from './held-out-loss.ts';
import { startFromCheckpoint } from './initial-weights.ts';
import type { RunFolder } from './run-folder.ts';
import type { RunObserver } from './run-observer.ts';
import {
  type DrawSamples,
  type HeldOutCourse,
  RunEvaluator,
  RunLog,
  type ScoreSamples,
  stepRecorder,
} from './run-recorder.ts';
import type { Trainee } from './trainee.ts';
import { TrainingLoop } from './training-loop.ts';

export interface RunOptions<R extends Role = Role> extends StopLimits {
  readonly config: RunConfig;
  readonly folder: RunFolder;
  readonly data: Split;
  readonly trainee: Trainee<R>;
  readonly backend: Backend;
  readonly session: CompileOptions;
  readonly observer: RunObserver;
  /** Default: no sheets are drawn. */
  readonly drawSamples?: DrawSamples<R> | undefined;
  /** Default: samples are not scored. */
  readonly scoreSamples?: ScoreSamples<R> | undefined;
  /** Called when all is ready for the first step. */
  readonly onBegin?: () => void;
  /** Of udit; checkpoints record it. */
  readonly version: string;
}

export interface RunResult {
  readonly step: number;
  readonly finished: boolean;
  readonly checkpoint: string;
  /** Held-out losses where this session began and where it ended; undefined where none are measured. */
  readonly heldOut: HeldOutCourse | undefined;
}

/** Trains until the configured step, an abort, or a limit of `options`; the same call again continues. */
export async function runTraining<R extends Role>(options: RunOptions<R>): Promise<RunResult> {
  const { config, folder, data, trainee, backend, session, observer, drawSamples, scoreSamples } = options;
  const { training, logging } = config;
  const { learning } = trainee;
  const { state, step } = await startState(options);
  const measures = logging.evaluateEvery !== null && data.heldOut.length > 0;
  const { trainStep, heldOutLoss, log } = await releasing(async ({ open }) => ({
    trainStep: await open(TrainStep.compile(learning, state, config, backend, session)),
    heldOutLoss: measures
      ? await open(HeldOutLoss.compile(learning, data.heldOut, microBatchOf(training), backend, session))
      : undefined,
    log: await RunLog.open(folder, step),
  }));

  const decisions = new RunDecisions(training.steps, options);
  const card = (at: number) => cardOf(options, at);
  const snapshot = (at: number) => {
    return { card: card(at), network: learning.network, weights: state.preferredWeights() };
  };
  const clock = () => decisions.elapsedMs / 1000;
  const checkpoints = new CheckpointWriter({
    ...{ config, folder, state, card, step, observer, clock },
    best: log.bestBefore(logging.keepBest)?.step,
  });
  const evaluator = new RunEvaluator({
    ...{ logging, folder, log, decisions, observer },
    ...{ snapshot, heldOutLoss, drawSamples, scoreSamples },
    keep: (at) => checkpoints.keep(at),
  });
  const loop = new TrainingLoop({
    ...{ config, training: data.training, learning, trainStep, step, decisions },
    lastCheckpoint: () => checkpoints.last,
  });
  options.onBegin?.();
  try {
    // A checkpoint comes before all that may fail for want of space.
    const reached = await loop.run([stepRecorder(config, log, observer), checkpoints, evaluator]);
    return {
      step: reached,
      finished: reached >= training.steps,
      checkpoint: folder.checkpointAt(reached),
      heldOut: evaluator.heldOut,
    };
  } finally {
    await trainStep.release();
    await heldOutLoss?.release();
    log.close();
  }
}

/** What the run goes on with: its latest checkpoint; else initial weights. */
async function startState({
  config,
  folder,
  trainee,
  observer,
}: Omit<RunOptions, 'drawSamples' | 'scoreSamples'>): Promise<{
  readonly state: TrainState;
  readonly step: number;
}> {
  const { network } = trainee.learning;
  const latest = await folder.latestCheckpoint((message) => observer.onWarning?.(message));
  if (latest !== undefined) {
    const { file, path, step } = latest;
    try {
      const state = await TrainState.restored(file, path, network, config);
      observer.onResume?.(step, path);
      return { state, step };
    } finally {
      await file.close();
    }
  }
  const { initFrom, seed } = config.training;
  if (initFrom === null) {
    const state = TrainState.initial(network, seed, config);
    observer.onBegin?.();
    return { state, step: 0 };
  }
  const { initial, state } = await startFromCheckpoint(initFrom, trainee, seed, config);
  observer.onInitialWeights?.(initial);
  observer.onBegin?.();
  return { state, step: 0 };
}

function cardOf<R extends Role>({ config, trainee, version }: RunOptions<R>, step: number): CardOfRole[R] {
  const progress = { step, nimg: step * config.training.batchSize, version };
  return { ...trainee.card, ...progress } as CardOfRole[R];
}
