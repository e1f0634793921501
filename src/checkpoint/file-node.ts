/** @file Checkpoint files on disk: written completely or not at all, and read with errors that name the cause. */
import { type FileHandle, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { closest } from 'fastest-levenshtein';
import { CheckpointError } from '../core/errors.ts';
import type { TensorMap } from '../core/host-tensor.ts';
import {
  parseSafetensors,
  type SafetensorsFile,
  type SafetensorsOptions,
  serialiseSafetensors,
} from './safetensors.ts';

/** One read or write moves at most this much, below the 2 GiB at which system calls stop. */
const MAX_TRANSFER_BYTES = 2 ** 30;

const TEMPORARY_NAME = /^\..+\.\d+-\d+\.tmp$/;

let temporaries = 0;

/**
 * Replaces or creates the file at `path` so that at any moment, also after a crash or a power cut, it holds either its
 * previous or its new content. The folder must exist.
 *
 * @throws CheckpointError, leaving the previous file as it was and no temporary file, when the disk is full or the
 *   folder cannot be written
 */
export async function writeFileAtomic(path: string, chunks: readonly Uint8Array[]): Promise<void> {
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
    throw await writeError(path, neededBytes, cause);
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

/** Writes a safetensors file as {@link writeFileAtomic} does. */
export async function writeSafetensors(
  path: string,
  tensors: TensorMap,
  metadata: Readonly<Record<string, string>>,
  options?: SafetensorsOptions,
): Promise<void> {
  await writeFileAtomic(path, serialiseSafetensors(tensors, metadata, options));
}

/** @throws CheckpointError when the file is missing, unreadable, damaged or of another format */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  return parseSafetensors(await readWholeFile(path), path);
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

async function writeFully(file: FileHandle, chunk: Uint8Array): Promise<void> {
  let offset = 0;
  while (offset < chunk.byteLength) {
    const length = Math.min(chunk.byteLength - offset, MAX_TRANSFER_BYTES);
    offset += (await file.write(chunk, offset, length)).bytesWritten;
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

async function writeError(path: string, neededBytes: number, cause: unknown): Promise<CheckpointError> {
  const folder = dirname(path);
  const code = errorCode(cause);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new CheckpointError({
      where: path,
      problem: `the disk is full: the file needs ${neededBytes} bytes, ${await describeFreeSpace(folder)}`,
      fix: 'free some space; the previous file, if there was one, is unchanged',
      cause,
    });
  }
  if (code === 'ENOENT') {
    const problem = `cannot be written: the folder ${folder} does not exist`;
    return new CheckpointError({ where: path, problem, fix: 'create the folder first', cause });
  }
  if (code === 'EISDIR') {
    return new CheckpointError({
      where: path,
      problem: 'cannot be written: it is a folder',
      fix: 'give the name of a file',
      cause,
    });
  }
  return new CheckpointError({
    where: path,
    problem: `cannot be written (${code ?? String(cause)})`,
    fix: `check that you may write into ${folder}`,
    cause,
  });
}

async function describeFreeSpace(folder: string): Promise<string> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return `${bavail * bsize} are free`;
  } catch {
    return 'free space unknown';
  }
}

async function readWholeFile(path: string): Promise<Uint8Array> {
  try {
    const info = await stat(path);
    if (info.isDirectory()) throw await folderError(path);
    const file = await open(path, 'r');
    try {
      return await readFully(file, info.size);
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw await readError(path, cause);
  }
}

/** Up to `size` bytes; fewer if the file is shortened meanwhile, which the parser reports. */
async function readFully(file: FileHandle, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  let offset = 0;
  while (offset < size) {
    const length = Math.min(size - offset, MAX_TRANSFER_BYTES);
    const { bytesRead } = await file.read(bytes, offset, length);
    if (bytesRead === 0) break;
    offset += bytesRead;
  }
  return bytes.subarray(0, offset);
}

async function folderError(path: string): Promise<CheckpointError> {
  const last = (await safetensorsNames(path)).sort().at(-1);
  return new CheckpointError({
    where: path,
    problem: 'this is a folder, not a checkpoint file',
    fix: last === undefined ? 'give a .safetensors file' : `give a file in it, such as ${join(path, last)}`,
  });
}

async function readError(path: string, cause: unknown): Promise<CheckpointError> {
  const code = errorCode(cause);
  if (code !== 'ENOENT' && code !== 'ENOTDIR') {
    return new CheckpointError({
      where: path,
      problem: `cannot be read (${code ?? String(cause)})`,
      fix: 'check that you may read it',
      cause,
    });
  }
  const folder = dirname(path);
  const names = await safetensorsNames(folder);
  return new CheckpointError({
    where: path,
    problem: 'there is no such file',
    fix:
      names.length === 0 ? 'check the path' : `did you mean ${join(folder, closest(basename(path), names))}?`,
    cause,
  });
}

/** Names of the checkpoints in a folder; none when it cannot be listed. */
async function safetensorsNames(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((): string[] => []);
  return names.filter((name) => name.endsWith('.safetensors') && !name.startsWith('.'));
}

function errorCode(cause: unknown): string | undefined {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
}
