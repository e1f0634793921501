/** @file Files that are either complete or absent, whenever the process is killed. */
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DataError, UditError } from '../../core/errors.ts';
import { processTable } from '../machine/processes-node.ts';
import { writeFully } from './transfer-node.ts';
import { type UditErrorClass, wholeFileError } from './write-error-node.ts';

/** With the process that writes it, and a number. */
const TEMPORARY_NAME = /^\.(.+)\.(\d+)-\d+\.tmp$/;

let temporaries = 0;
/** Names under which this process is writing now. */
const ownTemporaries = new Set<string>();

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
  try {
    await withTemporary(path, async (temporary) => {
      await writeThrough(temporary, chunks);
      await rename(temporary, path);
      await syncFolder(folder);
    });
  } catch (cause) {
    throw await wholeFileError(path, cause, sizeOf(chunks), Failure);
  }
}

/** Does `work` with a path beside `path`, where nothing is, and where nothing will be left. */
async function withTemporary(path: string, work: (temporary: string) => Promise<void>): Promise<void> {
  const name = `.${basename(path)}.${process.pid}-${temporaries++}.tmp`;
  const temporary = join(dirname(path), name);
  ownTemporaries.add(name);
  try {
    await work(temporary);
  } finally {
    // Failing to clean up as well must not hide the cause.
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    ownTemporaries.delete(name);
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
 * beside, under their names, and moved after `accept` has returned. What killed processes left of them is removed first.
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
  const step = async (name: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (cause) {
      if (cause instanceof UditError) throw cause;
      throw await wholeFileError(join(folder, name), cause, files.get(name)!.byteLength, Failure);
    }
  };
  await step(first!, () => removeLeftoverTemporaries(folder, (name) => name === first));
  await withTemporary(join(folder, first!), async (temporary) => {
    await step(first!, () => mkdir(temporary));
    for (const [name, content] of files) await step(name, () => fillFile(join(temporary, name), content));
    await accept(temporary);
    for (const name of files.keys())
      await step(name, () => rename(join(temporary, name), join(folder, name)));
    await syncFolder(folder);
  });
}

/**
 * A folder of many files that is there completely or not at all: they are written into a new one beside, which then takes
 * its place. What killed processes left of it is removed first.
 *
 * @param path - nothing is there
 * @param fill - writes each file by its name in the folder, with `/` between folders
 * @throws `Failure`, leaving nothing, when the disk is full or the folder cannot be written
 */
export async function writeFolderAtomic(
  path: string,
  fill: (write: (name: string, chunks: readonly Uint8Array[]) => Promise<void>) => Promise<void>,
  Failure: UditErrorClass = DataError,
): Promise<void> {
  await removeLeftoverTemporaries(dirname(path), (name) => name === basename(path));
  await withTemporary(path, async (temporary) => {
    const made = new Set<string>();
    await fill(async (name, chunks) => {
      try {
        const folder = dirname(join(temporary, name));
        if (!made.has(folder)) await mkdir(folder, { recursive: true });
        made.add(folder);
        await writeThrough(join(temporary, name), chunks);
      } catch (cause) {
        throw await wholeFileError(join(path, name), cause, sizeOf(chunks), Failure);
      }
    });
    try {
      await rename(temporary, path);
      await syncFolder(dirname(path));
    } catch (cause) {
      throw await wholeFileError(path, cause, 0, Failure);
    }
  });
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
 * Removes what killed processes left half-written in `folder`, files and folders. What a process of this machine is
 * writing stays, such as an export into the folder of a run.
 *
 * @param isMeant - is given the name that a temporary would have got
 */
export async function removeLeftoverTemporaries(
  folder: string,
  isMeant: (name: string) => boolean = () => true,
): Promise<void> {
  const processes = processTable();
  for (const temporary of await readdir(folder)) {
    const [, name, writer] = TEMPORARY_NAME.exec(temporary) ?? [];
    if (name === undefined || !isMeant(name) || ownTemporaries.has(temporary)) continue;
    // An earlier process may have had our id, as after the restart of a container.
    const isWritten =
      Number(writer) !== process.pid && (await processes.startOf(Number(writer))) !== undefined;
    if (!isWritten) await rm(join(folder, temporary), { recursive: true, force: true });
  }
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

/** Makes the renaming itself durable. Windows cannot open folders, and does not need it. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
