/** @file The files of a data set that has one for each picture: those of a folder, or of a zip archive. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { crc32 } from 'node:zlib';
import { CheckpointError, DataError } from '../../../core/errors.ts';
import type { HostTensor } from '../../../core/host-tensor.ts';
import { formatShape, type Shape, sameShape } from '../../../core/shape.ts';
import type { ByteSource } from '../../../formats/byte-source.ts';
import { parseNpy } from '../../../formats/npy.ts';
import { ZipArchive } from '../../../formats/zip.ts';
import { OpenFiles } from '../../../host/files/open-files-node.ts';
import { systemErrorCode } from '../../../host/files/write-error-node.ts';
import { forEachConcurrently } from '../preparation-node.ts';

export interface StoredFile {
  readonly bytes: number;
  /** When it was changed last; 0 of an archive's. */
  readonly changedMs: number;
}

/** Names have `/` between folders. */
export interface StoredFiles {
  readonly where: string;
  readonly files: ReadonlyMap<string, StoredFile>;
  /** @throws DataError or CheckpointError if the file cannot be read */
  read(name: string): Promise<Uint8Array>;
}

/** The files of a folder and of those in it whose names `isMeant` accepts, by name. */
export async function filesOfFolder(root: string, isMeant: (name: string) => boolean): Promise<StoredFiles> {
  const names = (await readdir(root, { recursive: true }))
    .map((name) => name.replaceAll(sep, '/'))
    .filter(isMeant)
    .sort();
  const described = new Array<StoredFile>(names.length);
  await forEachConcurrently(names.length, async (index) => {
    const { size, ctimeMs } = await stat(join(root, names[index]!));
    described[index] = { bytes: size, changedMs: ctimeMs };
  });
  return {
    where: root,
    files: new Map(names.map((name, index) => [name, described[index]!])),
    read: (name) => readWhole(join(root, name)),
  };
}

async function readWhole(path: string): Promise<Uint8Array> {
  return readFile(path).catch((cause) => {
    throw unreadable(path, cause);
  });
}

function unreadable(path: string, cause: unknown): DataError {
  return new DataError({
    where: path,
    problem: `cannot be read (${systemErrorCode(cause) ?? String(cause)})`,
    fix: 'check that it is there and that you may read it',
    cause,
  });
}

/** A million entries of a hundred bytes, as ImageNet has them. */
const MAX_DIRECTORY_BYTES = 2 ** 28;

/** The files of a zip archive whose names `isMeant` accepts, by name. */
export async function filesOfZip(path: string, isMeant: (name: string) => boolean): Promise<StoredFiles> {
  const archive = await ZipArchive.open(await fileSource(path), path, {
    maxDirectoryBytes: MAX_DIRECTORY_BYTES,
  });
  const entries = [...archive.entries].filter(([name]) => isMeant(name));
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    where: path,
    files: new Map(entries.map(([name, { size }]) => [name, { bytes: size, changedMs: 0 }])),
    read: (name) => archive.read(name),
  };
}

/** A file that stays open as long as there are not too many others. */
const sharedFiles = new OpenFiles();

export async function fileSource(path: string): Promise<ByteSource> {
  const { size } = await stat(path).catch((cause) => {
    throw unreadable(path, cause);
  });
  return {
    size,
    crc32,
    async read(begin, end) {
      const bytes = await sharedFiles.read(path, begin, end).catch((cause) => {
        throw unreadable(path, cause);
      });
      if (bytes.length === end - begin) return bytes;
      throw new CheckpointError({
        where: path,
        problem: `the file ends at byte ${begin + bytes.length}, it was longer when it was opened`,
        fix: 'wait until it is written completely, then try again',
      });
    },
  };
}

/** One `.npy` array of numbers, as float32. */
export async function readFloats(files: StoredFiles, name: string): Promise<HostTensor<'f32'>> {
  const tensor = parseNpy(await files.read(name), `${files.where}: ${name}`);
  if (tensor.dtype === 'f32') return tensor as HostTensor<'f32'>;
  throw new DataError({
    where: `${files.where}: ${name}`,
    problem: `its numbers are of type ${tensor.dtype}; latents are float32 or float16`,
    fix: 'convert it with astype("float32")',
  });
}

/** Copies a picture's values after a look at their shape. */
export function copyValues(
  { shape, data }: HostTensor<'f32'>,
  expected: Shape,
  where: string,
  out: Float32Array,
): void {
  if (!sameShape(shape, expected)) {
    throw new DataError({
      where,
      problem: `its array is ${formatShape(shape)}; those of the others are ${formatShape(expected)}`,
      fix: 'keep latents of one size in a folder of their own',
    });
  }
  out.set(data.length === out.length ? data : data.subarray(0, out.length));
}

/** Files of one size hold arrays of one shape: a look at all sizes finds others without reading them. */
export function expectOneSize({ where, files }: StoredFiles, names: Iterable<string>): void {
  let first: string | undefined;
  for (const name of names) {
    first ??= name;
    const [expected, found] = [files.get(first)!.bytes, files.get(name)!.bytes];
    if (found === expected) continue;
    throw new DataError({
      where,
      problem: `files of several sizes: ${first} has ${expected} bytes, ${name} ${found}`,
      fix: 'keep latents of one size in a folder of their own, and copy files again that were cut off',
    });
  }
}
