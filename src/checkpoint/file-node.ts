/** @file Checkpoint files on disk: written completely or not at all, and read with errors that name the cause. */
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { closest } from 'fastest-levenshtein';
import { CheckpointError } from '../core/errors.ts';
import type { TensorMap } from '../core/host-tensor.ts';
import { writeFileAtomic } from '../files/atomic-write-node.ts';
import { systemErrorCode } from '../files/write-error-node.ts';
import {
  parseSafetensors,
  type SafetensorsFile,
  type SafetensorsOptions,
  serialiseSafetensors,
} from './safetensors.ts';

/** One system call reads at most this much, below the 2 GiB at which it would stop. */
const MAX_READ_BYTES = 2 ** 30;

/**
 * Writes a safetensors file: whatever happens, `path` holds its previous or its new content.
 *
 * @throws CheckpointError when the disk is full or the folder cannot be written
 */
export async function writeSafetensors(
  path: string,
  tensors: TensorMap,
  metadata: Readonly<Record<string, string>>,
  options?: SafetensorsOptions,
): Promise<void> {
  await writeFileAtomic(path, serialiseSafetensors(tensors, metadata, options), CheckpointError);
}

/** @throws CheckpointError when the file is missing, unreadable, damaged or of another format */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  return parseSafetensors(await readWholeFile(path), path);
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
    const length = Math.min(size - offset, MAX_READ_BYTES);
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
  const code = systemErrorCode(cause);
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
