/** @file Files that are either complete or absent, whenever the process is killed. */
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DataError, UditError } from '../../core/errors.ts';
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
    throw await wholeFileError(path, cause, sizeOf(chunks), Failure);
  }
}

/** What a file will hold. */
export interface FileContent {
  readonly byteLength: number;
  /** Writes all of it, in any order. */
  fill(write: (bytes: Uint8Array, position: number) => Promise<void>): Promise<void>;
}

/** Chunks one after another. */
export function contentOf(chunks: readonly Uint8Array[]): FileContent {
  return {
    byteLength: sizeOf(chunks),
    async fill(write) {
      let position = 0;
      for (const chunk of chunks) {
        await write(chunk, position);
        position += chunk.byteLength;
      }
    },
  };
}

/**
 * Several files that belong together, looked at before they take their places: they are written into a new folder
 * beside, under their names, and moved after `accept` has returned.
 *
 * @param files - content by name; the last one is moved last, and so should be the one that names the others
 * @param accept - is given the folder that the files are in; if it throws, nothing has changed
 * @throws `Failure`, leaving no new file, when the disk is full or the folder cannot be written
 * @throws what `fill` and `accept` throw
 */
export async function writeFilesAtomic(
  folder: string,
  files: ReadonlyMap<string, FileContent>,
  accept: (folder: string) => Promise<void>,
  Failure: UditErrorClass = DataError,
): Promise<void> {
  const [first] = files.keys();
  const temporary = join(folder, `.${first}.${process.pid}-${temporaries++}.tmp`);
  const step = async (name: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (cause) {
      if (cause instanceof UditError) throw cause;
      throw await wholeFileError(join(folder, name), cause, files.get(name)!.byteLength, Failure);
    }
  };
  try {
    await step(first!, () => mkdir(temporary));
    for (const [name, content] of files) await step(name, () => fillFile(join(temporary, name), content));
    await accept(temporary);
    for (const name of files.keys())
      await step(name, () => rename(join(temporary, name), join(folder, name)));
    await syncFolder(folder);
  } finally {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
  }
}

async function fillFile(path: string, { byteLength, fill }: FileContent): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.truncate(byteLength);
    await fill((bytes, position) => writeFully(file, bytes, position));
    await file.sync();
  } finally {
    await file.close();
  }
}

function sizeOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((bytes, chunk) => bytes + chunk.byteLength, 0);
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
