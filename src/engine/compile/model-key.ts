/** @file The identity of a compiled model: a hash of everything that its bytes follow from. */
import type { TensorSource } from '../../core/tensor-source.ts';
import { type NamedShape, readWeight } from './fold.ts';

/**
 * SHA-256 in hexadecimal digits.
 *
 * @param descriptions - what the model computes, and what with
 * @param read - the weights that it reads
 * @throws CheckpointError if one of them is missing or misshapen
 */
export async function modelKey(
  descriptions: readonly (Uint8Array | string)[],
  weights: TensorSource,
  read: Iterable<NamedShape>,
): Promise<string> {
  const digests: Uint8Array[] = [];
  const add = async (bytes: Uint8Array) => {
    digests.push(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)));
  };
  const text = new TextEncoder();
  for (const part of descriptions) await add(typeof part === 'string' ? text.encode(part) : part);
  for (const leaf of [...read].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const { data } = await readWeight(weights, leaf);
    await add(text.encode(leaf.name));
    await add(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  const all = new Uint8Array(await new Blob(digests as BlobPart[]).arrayBuffer());
  const key = new Uint8Array(await crypto.subtle.digest('SHA-256', all));
  return Array.from(key, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
