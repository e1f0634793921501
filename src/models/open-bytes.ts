/** @file Opens a model that is in memory or behind a `Blob`: the portable half of `openModel`. */
import { expectOptions } from '../core/options.ts';
import { type ByteSource, bytesInMemory, bytesOfBlob } from '../formats/byte-source.ts';
import { openTensors } from '../formats/open.ts';
import type { Role } from '../networks/family.ts';
import { loadNetwork, type NetworkRequest, REQUEST_OPTIONS } from './open-model.ts';
import type { SavedNetwork } from './saved-model.ts';

/** A whole checkpoint file: safetensors or PyTorch's. A browser's `File` is a `Blob`. */
export type ModelBytes = Uint8Array | ArrayBuffer | Blob | ByteSource;

export interface OpenModelOptions<R extends Role = Role> extends NetworkRequest<R> {
  /** Name of the file in error messages. Default: `model`. */
  readonly name?: string | undefined;
}

/**
 * A model with its weights in memory. udit's own files describe themselves; the tensors' names and shapes tell what
 * published files are.
 *
 *     const saved = await openModel(bytes);
 *     saved.card.classNames;
 *
 * @throws CheckpointError if the bytes are damaged, or hold no model that is known
 * @throws ConfigError if an option contradicts the file
 */
export async function openModel<R extends Role = 'denoiser'>(
  bytes: ModelBytes,
  options: OpenModelOptions<R> = {},
): Promise<SavedNetwork<R>> {
  expectOptions(options, 'openModel', { ...REQUEST_OPTIONS, name: 'optional' });
  const { name = 'model', ...request } = options;
  return loadNetwork<R>(await openTensors(sourceOf(bytes), name), name, request);
}

function sourceOf(bytes: ModelBytes): ByteSource {
  if (bytes instanceof Uint8Array) return bytesInMemory(bytes);
  if (bytes instanceof ArrayBuffer) return bytesInMemory(new Uint8Array(bytes));
  if (bytes instanceof Blob) return bytesOfBlob(bytes);
  return bytes;
}
