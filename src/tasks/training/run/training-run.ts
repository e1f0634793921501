/** @file A training run in its folder: opens or resumes it, and joins the loop with those who listen to it. */
import type { Split } from '../../../data/datasets/split.ts';
import { createObjective } from '../../../diffusion/objectives.ts';
import type { CompileOptions } from '../../../engine/compile/training.ts';
import type { Backend } from '../../../engine/runtime/session.ts';
import { releasing } from '../../../engine/runtime/session-scope.ts';
import type { ModelCard } from '../../../models/saved-model.ts';
import type { Denoiser } from '../../../networks/denoisers/denoiser.ts';
import { createModel, type ModelSpec } from '../../../networks/registry.ts';
import { modelForData } from '../config/model-for-data.ts';
import type { TrainConfig } from '../config/train-config.ts';
import { denoising } from '../step/denoising.ts';
import { TrainState } from '../step/train-state.ts';
import { TrainStep } from '../step/train-step.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import { RunDecisions, type StopLimits } from './decisions.ts';
import { HeldOutLoss } from './held-out-loss.ts';
import { startFromCheckpoint } from './initial-weights.ts';
import type { RunFolder } from './run-folder.ts';
import type { RunObserver } from './run-observer.ts';
import { type DrawSamples, type HeldOutCourse, RunEvaluator, RunLog, stepRecorder } from './run-recorder.ts';
import { TrainingLoop } from './training-loop.ts';

export interface RunOptions extends StopLimits {
  readonly config: TrainConfig;
  readonly folder: RunFolder;
  readonly data: Split;
  readonly backend: Backend;
  readonly session: CompileOptions;
  readonly observer: RunObserver;
  /** Default: no sheets are drawn. */
  readonly drawSamples?: DrawSamples | undefined;
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
export async function runTraining(options: RunOptions): Promise<RunResult> {
  const { config, folder, data, backend, session, observer, drawSamples } = options;
  const { training, logging } = config;
  const objective = createObjective(config.objective);
  const spec = modelForData(config, data.training, objective);
  const model = createModel(spec);
  const learning = denoising(model, objective);
  const { state, step } = await startState(model, options);
  const measures = logging.evaluateEvery !== null && data.heldOut.length > 0;
  const { trainStep, heldOutLoss, log } = await releasing(async ({ open }) => ({
    trainStep: await open(TrainStep.compile(learning, state, config, backend, session)),
    heldOutLoss: measures
      ? await open(HeldOutLoss.compile(learning, data.heldOut, training.batchSize, backend, session))
      : undefined,
    log: await RunLog.open(folder, step),
  }));

  const decisions = new RunDecisions(training.steps, options);
  const card = (at: number) => cardOf(options, spec, at);
  const snapshot = (at: number) => ({ card: card(at), network: model, weights: state.preferredWeights() });
  const checkpoints = new CheckpointWriter({ config, folder, state, card, step, observer });
  const evaluator = new RunEvaluator({
    ...{ logging, folder, log, decisions, observer },
    ...{ snapshot, heldOutLoss, drawSamples },
  });
  const loop = new TrainingLoop({
    ...{ config, training: data.training, learning, trainStep, step, decisions },
    lastCheckpoint: () => checkpoints.last,
  });
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
async function startState(
  model: Denoiser,
  { config, folder, observer }: RunOptions,
): Promise<{ readonly state: TrainState; readonly step: number }> {
  const latest = await folder.latestCheckpoint((message) => observer.onWarning?.(message));
  if (latest !== undefined) {
    const { file, path, step } = latest;
    try {
      const state = await TrainState.restored(file, path, model, config);
      observer.onResume?.(step, path);
      return { state, step };
    } finally {
      await file.close();
    }
  }
  const { initFrom, seed } = config.training;
  if (initFrom === null) return { state: TrainState.initial(model, seed, config), step: 0 };
  const { initial, state } = await startFromCheckpoint(initFrom, model, seed, config);
  observer.onInitialWeights?.(initial);
  return { state, step: 0 };
}

function cardOf({ config, data, version }: RunOptions, spec: ModelSpec, step: number): ModelCard {
  return {
    name: config.model.preset,
    spec,
    objective: config.objective,
    classNames: data.training.classNames,
    step,
    nimg: step * config.training.batchSize,
    version,
  };
}
