/** @file Writes a model with one set of weights as a file that udit, PyTorch and others read. */
import { writeSafetensors } from '../formats/file-node.ts';
import type { SafetensorsOptions } from '../formats/safetensors.ts';
import { cardMetadata, type SavedNetwork } from './saved-model.ts';

/**
 * One safetensors file of the published models' names and layouts; what they cannot say is in its metadata (family, preset,
 * configuration, objective, classes, step, images seen, version), so that {@link openModel} needs to be told nothing.
 *
 * @throws CheckpointError when the file cannot be written, or a value does not fit half precision where that is asked for
 */
export async function writeModel(
  path: string,
  { card, weights, source }: Pick<SavedNetwork, 'card' | 'weights' | 'source'>,
  options?: SafetensorsOptions,
): Promise<void> {
  await writeSafetensors(path, weights, { ...cardMetadata(card), weights: source }, options);
}
