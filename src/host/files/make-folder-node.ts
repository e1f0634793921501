/** @file Folders that a command writes into. */
import { access, constants, mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { formatBytes } from '../../core/byte-size.ts';
import { DataError } from '../../core/errors.ts';
import { freeBytes, isDiskFull, systemErrorCode, type UditErrorClass } from './write-error-node.ts';

export interface FolderFailure {
  /** Kind of error. Default: `DataError`. */
  readonly Failure?: UditErrorClass;
  /** What the user does about it, such as choosing another folder with a flag. */
  readonly fix: string;
}

/**
 * Makes a folder, with those it lies in, unless it is there.
 *
 * @returns whether it was not there
 * @throws `Failure` when it cannot be made, or nothing can be written into it
 */
export async function makeFolder(path: string, failure: FolderFailure): Promise<boolean> {
  const { Failure = DataError, fix } = failure;
  try {
    if (await makeLevels(resolve(path))) return true;
  } catch (cause) {
    throw new Failure({ where: path, problem: describe(cause), fix, cause });
  }
  await expectFolderPossible(path, failure);
  return false;
}

/**
 * Checks that a folder is there or can be made, as far as the permissions of the folders above say. Makes nothing.
 *
 * @throws `Failure` if it cannot be
 */
export async function expectFolderPossible(
  path: string,
  { Failure = DataError, fix }: FolderFailure,
): Promise<void> {
  const found = await nearestPath(path);
  const where = found === resolve(path) ? path : found;
  if (!(await stat(found)).isDirectory()) {
    throw new Failure({ where, problem: 'there is a file where a folder is needed', fix });
  }
  await access(found, constants.W_OK | constants.X_OK).catch((cause) => {
    throw new Failure({
      where,
      problem: `nothing can be written into it (${systemErrorCode(cause)})`,
      fix,
      cause,
    });
  });
}

/**
 * Checks that the disk of a folder, which need not be there yet, has room for the results of a long work before it.
 *
 * @param bytes - that will be written at least
 * @throws `Failure` if it has not
 */
export async function expectRoomIn(
  path: string,
  bytes: number,
  { Failure = DataError, fix }: FolderFailure,
): Promise<void> {
  const free = await freeBytes(await nearestPath(path));
  if (free === undefined || free >= bytes) return;
  const problem = `the disk has too little room: at least ${formatBytes(bytes)} are needed, ${formatBytes(free)} are free`;
  throw new Failure({ where: path, problem, fix: `free some space, or ${fix}` });
}

/** The path, or what is there of the folders above it. */
async function nearestPath(path: string): Promise<string> {
  const fullPath = resolve(path);
  const isThere = (await stat(fullPath).catch(() => undefined)) !== undefined;
  return isThere || dirname(fullPath) === fullPath ? fullPath : nearestPath(dirname(fullPath));
}

/** One level after another: Node's own recursion never ends on a file system without new folders, such as `/proc`. */
async function makeLevels(path: string): Promise<boolean> {
  const parent = dirname(path);
  try {
    return await makeLevel(path);
  } catch (cause) {
    if (systemErrorCode(cause) !== 'ENOENT' || parent === path) throw cause;
  }
  await makeLevels(parent);
  return makeLevel(path);
}

/** Was the folder not there? */
async function makeLevel(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (cause) {
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory() !== true) throw cause;
    return false;
  }
}

function describe(cause: unknown): string {
  const code = systemErrorCode(cause);
  if (isDiskFull(code)) return 'the folder cannot be made: the disk is full';
  if (code === 'EEXIST' || code === 'ENOTDIR') return 'there is a file where a folder is needed';
  if (code === 'ENOENT') return 'the folder cannot be made: its file system takes no new folders (ENOENT)';
  return `the folder cannot be made (${code ?? String(cause)})`;
}
