/** @file `.npz` archives in memory. */
import type { TensorMap } from '../../src/core/host-tensor.ts';
import { NpzWriter } from '../../src/formats/npz-writer.ts';

/** @param pieceBytes - values are written in pieces of so many bytes */
export async function npzOf(
  arrays: TensorMap,
  pieceBytes = Number.POSITIVE_INFINITY,
  comment = '',
): Promise<Uint8Array> {
  const forms = [...arrays].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const chunks: { readonly bytes: Uint8Array; readonly position: number }[] = [];
  const writer = new NpzWriter(forms, {
    write: async (bytes, position) => void chunks.push({ bytes, position }),
    comment,
  });
  for (const [name, { data }] of arrays) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      await writer.append(name, bytes.subarray(at, Math.min(at + pieceBytes, bytes.length)));
    }
  }
  await writer.finish();
  const archive = new Uint8Array(writer.byteLength);
  for (const { bytes, position } of chunks) archive.set(bytes, position);
  return archive;
}
