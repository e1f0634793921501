/** @file `udit/train`: configurations, trainings in a folder, and what can be read of their runs. */

export { type CheckpointFile, listCheckpoints } from '../saved-model/run-checkpoints-node.ts';
export { type ConfigLayer, layerOf, overlay } from '../train/config-layer.ts';
export { type CurveAxis, type CurvePoint, readCurve } from '../train/curve.ts';
export { recipeFor } from '../train/recipes.ts';
export { readStats, type StatsRecord } from '../train/stats-log.ts';
export { type OptimizerConfig, resolveTrainConfig, type TrainConfig } from '../train/train-config.ts';
export type { HeldOutMeasurement, RunObserver, RunResult, StepReport } from '../train/training-run.ts';
export {
  planStart,
  planTraining,
  type RunStart,
  type SessionOptions,
  type TrainingPlan,
  trainInFolder,
} from '../train/training-session.ts';
