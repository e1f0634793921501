/** @file Checkpoint files on disk: written completely or not at all, and read with errors that name the cause. */

import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { CheckpointError } from '../core/errors.ts';
import type { TensorMap } from '../core/host-tensor.ts';
import { nearest } from '../core/nearest.ts';
import { writeFileAtomic } from '../host/files/atomic-write-node.ts';
import { readFully } from '../host/files/transfer-node.ts';
import { isNowhere, systemErrorCode } from '../host/files/write-error-node.ts';
import type { ByteSource } from './byte-source.ts';
import { type NpzFile, openNpz } from './npz-file.ts';
import { openTensors } from './open.ts';
import { isInParts, openParts } from './parts-node.ts';
import {
  parseSafetensors,
  type SafetensorsFile,
  type SafetensorsOptions,
  serialiseSafetensors,
} from './safetensors.ts';
import type { OpenTensorFile } from './tensor-file.ts';
import { openTorch, type TorchFile } from './torch-file.ts';

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
  const file = await openFile(path);
  try {
    return parseSafetensors(await file.read(0, file.size), path);
  } finally {
    await file.close();
  }
}

/**
 * A checkpoint of any format that {@link openTensors} knows, of any size: each tensor is read when it is asked for. An
 * index, or one of several parts, stands for all of them.
 *
 * @throws CheckpointError when the file is missing, unreadable, damaged or of another format
 */
export async function openTensorFile(path: string): Promise<OpenTensorFile> {
  if (!isInParts(path)) return openPart(path);
  await stat(path).catch(async (cause) => {
    throw await readError(path, cause);
  });
  return openParts(path, openPart);
}

function openPart(path: string): Promise<OpenTensorFile> {
  return openWith(openTensors, path);
}

/**
 * What `torch.save` wrote, with all that is in it beside named tensors.
 *
 * @throws CheckpointError when the file is missing, unreadable, damaged or of another format
 */
export async function openTorchFile(path: string): Promise<TorchFile & { close(): Promise<void> }> {
  return openWith(openTorch, path);
}

async function openWith<T>(
  parse: (source: ByteSource, where: string) => Promise<T>,
  path: string,
): Promise<T & { close(): Promise<void> }> {
  const file = await openFile(path);
  try {
    return { ...(await parse(file, path)), close: file.close };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * An `.npz` archive of any size, whose arrays are read row by row.
 *
 * @throws CheckpointError or DataError when the file is missing, unreadable, damaged or of another format
 */
export async function openNpzFile(path: string): Promise<NpzFile & { close(): Promise<void> }> {
  return openWith(openNpz, path);
}

async function openFile(path: string): Promise<ByteSource & { close(): Promise<void> }> {
  try {
    // Before it is opened, which would wait at a pipe for somebody to write.
    const info = await stat(path);
    if (info.isDirectory()) throw await folderError(path);
    if (!info.isFile()) throw notAFile(path);
    const file = await open(path, 'r');
    return {
      size: info.size,
      read: (begin, end) => readRange(file, begin, end, path),
      crc32,
      close: () => file.close(),
    };
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw await readError(path, cause);
  }
}

async function readRange(file: FileHandle, begin: number, end: number, path: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - begin);
  const length = await readFully(file, bytes, begin).catch(async (cause) => {
    throw await readError(path, cause);
  });
  if (length === bytes.length) return bytes;
  throw new CheckpointError({
    where: path,
    problem: `the file ends at byte ${begin + length}, it was longer when it was opened`,
    fix: 'wait until it is written completely, then try again',
  });
}

function notAFile(path: string): CheckpointError {
  return new CheckpointError({
    where: path,
    problem: 'this is a pipe or a device, not a file with random access',
    fix: 'copy it to a file first',
  });
}

async function folderError(path: string): Promise<CheckpointError> {
  const last = (await checkpointNames(path)).sort().at(-1);
  return new CheckpointError({
    where: path,
    problem: 'this is a folder, not a checkpoint file',
    fix:
      last === undefined
        ? 'give a .safetensors or .pt file'
        : `give a file in it, such as ${join(path, last)}`,
  });
}

async function readError(path: string, cause: unknown): Promise<CheckpointError> {
  if (!isNowhere(cause)) {
    return new CheckpointError({
      where: path,
      problem: `cannot be read (${systemErrorCode(cause) ?? String(cause)})`,
      fix: 'check that you may read it',
      cause,
    });
  }
  const folder = dirname(path);
  const near = nearest(basename(path), await checkpointNames(folder));
  return new CheckpointError({
    where: path === '' ? '""' : path,
    problem: 'there is no such file',
    fix: near === undefined ? 'check the path' : `did you mean ${join(folder, near)}?`,
    absent: true,
    cause,
  });
}

/** Names of the checkpoints in a folder; none when it cannot be listed. */
async function checkpointNames(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((): string[] => []);
  return names.filter((name) => /^[^.].*\.(safetensors|pt|pth|ckpt|bin)$/.test(name));
}
