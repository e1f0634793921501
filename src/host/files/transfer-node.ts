/** @file Reads and writes that the system does not end in the middle. */
import type { FileHandle } from 'node:fs/promises';

/** One system call moves at most this much, below the 2 GiB at which it would stop. */
const MAX_CALL_BYTES = 2 ** 30;

/** @param position - in the file; by default where the last write ended */
export async function writeFully(file: FileHandle, chunk: Uint8Array, position?: number): Promise<void> {
  let offset = 0;
  while (offset < chunk.byteLength) {
    const length = Math.min(chunk.byteLength - offset, MAX_CALL_BYTES);
    const at = position === undefined ? null : position + offset;
    offset += (await file.write(chunk, offset, length, at)).bytesWritten;
  }
}

/**
 * Fills `bytes` from the file.
 *
 * @returns how many there were: fewer where the file ends before
 */
export async function readFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<number> {
  let offset = 0;
  while (offset < bytes.byteLength) {
    const length = Math.min(bytes.byteLength - offset, MAX_CALL_BYTES);
    const { bytesRead } = await file.read(bytes, offset, length, position + offset);
    if (bytesRead === 0) break;
    offset += bytesRead;
  }
  return offset;
}
