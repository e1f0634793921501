/** @file SHA-256 of files that may be large: with progress, and stopped when asked. */
import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';

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
