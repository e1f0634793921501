/** @file Hashes of files that may be large: SHA-256 with progress, and stopped when asked; CRC-32 where time counts. */
import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { readFully } from './transfer-node.ts';

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told how much has been read of how much. */
  readonly onRead?: ((bytes: number, totalBytes: number) => void) | undefined;
}

const READ_BYTES = 2 ** 20;

/** Adds all of an open file to `hash`, and returns its size. */
export async function hashInto(hash: Hash, file: FileHandle, options: ReadOptions): Promise<number> {
  const { size } = await file.stat();
  const buffer = new Uint8Array(READ_BYTES);
  for (let position = 0; ; ) {
    options.signal?.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, READ_BYTES, position);
    if (bytesRead === 0) return position;
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
    options.onRead?.(position, size);
  }
}

/** In hexadecimal. */
export async function sha256OfFile(path: string, options: ReadOptions = {}): Promise<string> {
  const file = await open(path);
  try {
    const hash = createHash('sha256');
    await hashInto(hash, file, options);
    return hash.digest('hex');
  } finally {
    await file.close();
  }
}

const BLOCK_BYTES = 4 * 2 ** 20;

/** The length and CRC-32 of a file. A block is read while the one before is summed: twice as fast as SHA-256. */
export async function crc32OfFile(
  path: string,
): Promise<{ readonly byteLength: number; readonly crc32: number }> {
  const file = await open(path);
  try {
    const buffers = [new Uint8Array(BLOCK_BYTES), new Uint8Array(BLOCK_BYTES)] as const;
    const read = async (block: number): Promise<Uint8Array> => {
      const buffer = buffers[block % 2 === 0 ? 0 : 1];
      return buffer.subarray(0, await readFully(file, buffer, block * BLOCK_BYTES));
    };
    let byteLength = 0;
    let sum = 0;
    for (let block = 0, next = read(0); ; block++) {
      const bytes = await next;
      if (bytes.length === 0) return { byteLength, crc32: sum };
      next = read(block + 1);
      sum = crc32(bytes, sum);
      byteLength += bytes.length;
    }
  } finally {
    await file.close();
  }
}
