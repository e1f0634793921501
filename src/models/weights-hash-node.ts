/** @file What tells weights from others of the same shapes. */
import { createHash } from 'node:crypto';
import type { TensorMap } from '../core/host-tensor.ts';
import { sourceOf, type TensorSource } from '../core/tensor-source.ts';

/** SHA-256 of all values by their names: the same whatever file they were read from. */
export async function weightsHash(weights: TensorMap | TensorSource): Promise<string> {
  const source = 'infos' in weights ? weights : sourceOf(weights);
  const hash = createHash('sha256');
  for (const name of [...source.infos.keys()].sort()) {
    const { dtype, shape, data } = await source.read(name);
    hash.update(JSON.stringify([name, dtype, shape]));
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}
