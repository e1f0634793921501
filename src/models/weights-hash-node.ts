/** @file What tells weights from others of the same shapes. */
import { createHash } from 'node:crypto';
import type { TensorMap } from '../core/host-tensor.ts';

/** SHA-256 of all values by their names: the same whatever file they were read from. */
export function weightsHash(weights: TensorMap): string {
  const hash = createHash('sha256');
  for (const name of [...weights.keys()].sort()) {
    const { dtype, shape, data } = weights.get(name)!;
    hash.update(JSON.stringify([name, dtype, shape]));
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}
