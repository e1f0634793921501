/** @file Folders that a command writes into. */
import { access, constants, mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { DataError } from '../../core/errors.ts';
import { isDiskFull, systemErrorCode, type UditErrorClass } from './write-error-node.ts';

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
 * @throws `Failure` when it cannot be made
 */
export async function makeFolder(
  path: string,
  { Failure = DataError, fix }: FolderFailure,
): Promise<boolean> {
  try {
    return await makeLevels(resolve(path));
  } catch (cause) {
    throw new Failure({ where: path, problem: describe(cause), fix, cause });
  }
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
  const fullPath = resolve(path);
  const status = await stat(fullPath).catch(() => undefined);
  if (status === undefined && dirname(fullPath) !== fullPath) {
    return expectFolderPossible(dirname(fullPath), { Failure, fix });
  }
  if (status?.isDirectory() !== true) {
    throw new Failure({ where: path, problem: 'there is a file where a folder is needed', fix });
  }
  await access(fullPath, constants.W_OK | constants.X_OK).catch((cause) => {
    throw new Failure({
      where: path,
      problem: `nothing can be written into it (${systemErrorCode(cause)})`,
      fix,
      cause,
    });
  });
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
