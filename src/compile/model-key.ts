/** @file The identity of a compiled model: a hash of everything that its bytes follow from. */
import type { TensorSource } from '../core/tensor-source.ts';

/**
 * SHA-256 in hexadecimal digits.
 *
 * @param descriptions - what the model computes, and what with
 * @param names - of the weights that it reads
 */
export async function modelKey(
  descriptions: readonly (Uint8Array | string)[],
  weights: TensorSource,
  names: Iterable<string>,
): Promise<string> {
  const digests: Uint8Array[] = [];
  const add = async (bytes: Uint8Array) => {
    digests.push(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)));
  };
  const text = new TextEncoder();
  for (const part of descriptions) await add(typeof part === 'string' ? text.encode(part) : part);
  for (const name of names) {
    const { data } = await weights.read(name);
    await add(text.encode(name));
    await add(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  const all = new Uint8Array(await new Blob(digests as BlobPart[]).arrayBuffer());
  const key = new Uint8Array(await crypto.subtle.digest('SHA-256', all));
  return Array.from(key, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
