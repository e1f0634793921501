/** @file Weights that a run starts from instead of random ones: those of a checkpoint of any origin. */
import { openTensorFile } from '../checkpoint/file-node.ts';
import { readTensors } from '../core/tensor-source.ts';
import type { Denoiser } from '../models/denoiser.ts';
import { findModel } from '../saved-model/open-model.ts';
import { findCheckpointFile } from './checkpoint-files.ts';
import type { TrainState } from './train-state.ts';

export interface InitialWeights {
  /** The file, and which of its sets of weights was taken. */
  readonly from: string;
  /** Tensors of the file that the model begins with. */
  readonly takenOver: number;
  /** Modules with parameters that are not in the file, and begin as in a run from scratch. */
  readonly fresh: readonly string[];
}

/**
 * Begins a new run with the weights of a checkpoint, by preference the moving average.
 *
 * @param argument - what {@link findCheckpointFile} takes
 * @throws CheckpointError if it cannot be read, or has parameters that the model has not, or of another shape
 */
export async function startFromCheckpoint(
  state: TrainState,
  argument: string,
  model: Denoiser,
): Promise<InitialWeights> {
  const path = await findCheckpointFile(argument);
  const file = await openTensorFile(path);
  try {
    const { weights, source } = findModel(file, path);
    const fresh = state.startFrom(await readTensors(weights), path, model);
    return {
      from: source === 'unnamed' ? path : `${path} (${source})`,
      takenOver: [...model.parameters()].filter(({ frozen }) => !frozen).length - fresh.length,
      fresh: [...new Set(fresh.map(moduleOf))],
    };
  } finally {
    await file.close();
  }
}

/** The block or layer that a parameter belongs to: `encoder_level_1.0.attn.q.weight` → `encoder_level_1.0`. */
function moduleOf(name: string): string {
  return name.split('.').slice(0, 2).join('.');
}
