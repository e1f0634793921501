/** @file What a workload takes, from shapes alone. */
import { presetSpec } from '../../networks/presets.ts';
import { createModel } from '../../networks/registry.ts';
import { workerBytes } from '../sampling/worker-memory.ts';
import { resolveTrainConfig } from '../training/config/train-config.ts';
import { learningOf } from '../training/run/trainee.ts';
import { trainingMemory } from '../training/run/training-memory.ts';
import type { Workload } from './plan.ts';

/** In bytes: of training the least, else the most. */
export function workloadBytes({ task, model: preset, batch, workers, device }: Workload): number {
  const spec = presetSpec(preset);
  if (task !== 'train') return workers * workerBytes(createModel(spec), batch / workers);
  const training = { batchSize: batch, shards: workers };
  const config = resolveTrainConfig([{ model: { preset }, training }]);
  const { state, step } = trainingMemory(learningOf(spec, config), config, device);
  return state + step;
}
