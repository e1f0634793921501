/** @file `udit/train`: configurations, trainings in a folder, and what can be read of their runs. */

export { type CheckpointFile, listCheckpoints } from '../models/run-checkpoints-node.ts';
export { type ConfigLayer, layerOf, overlay } from '../tasks/training/config/config-layer.ts';
export { recipeFor } from '../tasks/training/config/recipes.ts';
export {
  type OptimizerConfig,
  resolveTrainConfig,
  type TrainConfig,
} from '../tasks/training/config/train-config.ts';
export { type CurveAxis, type CurvePoint, readCurve } from '../tasks/training/run/curve.ts';
export type { RunObserver } from '../tasks/training/run/run-observer.ts';
export type { HeldOutMeasurement } from '../tasks/training/run/run-recorder.ts';
export { readStats, type StatsRecord } from '../tasks/training/run/stats-log.ts';
export type { StepReport } from '../tasks/training/run/training-loop.ts';
export type { RunResult } from '../tasks/training/run/training-run.ts';
export {
  planStart,
  planTraining,
  type RunStart,
  type SessionOptions,
  type TrainingPlan,
  trainInFolder,
} from '../tasks/training/run/training-session.ts';
