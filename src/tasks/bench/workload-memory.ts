/** @file What a workload takes, from shapes alone. */
import { peakLiveBytes } from '../../engine/graph/liveness.ts';
import { countParameters } from '../../networks/nn/module.ts';
import { presetSpec } from '../../networks/presets.ts';
import { createModel } from '../../networks/registry.ts';
import { workerBytes } from '../sampling/worker-memory.ts';
import { resolveTrainConfig } from '../training/config/train-config.ts';
import { learningOf } from '../training/run/trainee.ts';
import { trainingMemory } from '../training/run/training-memory.ts';
import { isSingleRun, type SingleRunTask, type Workload } from './plan.ts';
import { singleRun } from './single-run.ts';

/** In bytes: of training and of what runs a network once the least, else the most. */
export function workloadBytes(workload: Workload): number {
  const { task, model: preset, batch, workers, device } = workload;
  if (isSingleRun(task)) return workers * singleRunBytes(task, workload);
  const spec = presetSpec(preset);
  if (task !== 'train') return workers * workerBytes(createModel(spec), batch / workers);
  const training = { batchSize: batch, shards: workers };
  const config = resolveTrainConfig([{ model: { preset }, training }]);
  const { state, step } = trainingMemory(learningOf(spec, config), config, device);
  return state + step;
}

/** Weights as they were drawn and as they are used, and the values of a run. */
function singleRunBytes(task: SingleRunTask, { model, size, batch, workers }: Workload): number {
  const { network, graph } = singleRun(task, { model, size, batch: batch / workers });
  return 2 * Float32Array.BYTES_PER_ELEMENT * countParameters(network.parameters()) + peakLiveBytes(graph);
}
