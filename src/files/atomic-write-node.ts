/** @file Files that are either complete or absent, whenever the process is killed. */
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DataError } from '../core/errors.ts';
import { type UditErrorClass, wholeFileError } from './write-error-node.ts';

/** One system call writes at most this much, below the 2 GiB at which it would stop. */
const MAX_WRITE_BYTES = 2 ** 30;

const TEMPORARY_NAME = /^\..+\.\d+-\d+\.tmp$/;

let temporaries = 0;

/**
 * Replaces or creates the file at `path` so that at any moment, also after a crash or a power cut, it holds either its
 * previous or its new content: `chunks` one after another. The folder must exist.
 *
 * @throws `Failure`, leaving the previous file as it was and no temporary file, when the disk is full or the folder
 *   cannot be written
 */
export async function writeFileAtomic(
  path: string,
  chunks: readonly Uint8Array[],
  Failure: UditErrorClass = DataError,
): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${process.pid}-${temporaries++}.tmp`);
  try {
    await writeThrough(temporary, chunks);
    await rename(temporary, path);
    await syncFolder(folder);
  } catch (cause) {
    // Failing to clean up as well must not hide the cause.
    await rm(temporary, { force: true }).catch(() => undefined);
    const neededBytes = chunks.reduce((bytes, chunk) => bytes + chunk.byteLength, 0);
    throw await wholeFileError(path, cause, neededBytes, Failure);
  }
}

/**
 * Removes the temporary files that killed processes left in `folder`, and returns their names. Nothing else may be
 * writing into the folder.
 */
export async function removeLeftoverTemporaries(folder: string): Promise<string[]> {
  const leftovers = (await readdir(folder)).filter((name) => TEMPORARY_NAME.test(name));
  for (const name of leftovers) await rm(join(folder, name), { force: true });
  return leftovers;
}

async function writeThrough(path: string, chunks: readonly Uint8Array[]): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (const chunk of chunks) await writeFully(file, chunk);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** @param position - in the file; by default where the last write ended */
export async function writeFully(file: FileHandle, chunk: Uint8Array, position?: number): Promise<void> {
  let offset = 0;
  while (offset < chunk.byteLength) {
    const length = Math.min(chunk.byteLength - offset, MAX_WRITE_BYTES);
    const at = position === undefined ? null : position + offset;
    offset += (await file.write(chunk, offset, length, at)).bytesWritten;
  }
}

/** Makes the renaming itself durable. Windows cannot open folders, and does not need it. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
