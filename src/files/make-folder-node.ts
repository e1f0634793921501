/** @file Folders that a command writes into. */
import { mkdir } from 'node:fs/promises';
import { DataError } from '../core/errors.ts';
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
 * @throws `Failure` when it cannot be made
 */
export async function makeFolder(path: string, { Failure = DataError, fix }: FolderFailure): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new Failure({ where: path, problem: describe(cause), fix, cause });
  }
}

function describe(cause: unknown): string {
  const code = systemErrorCode(cause);
  if (isDiskFull(code)) return 'the folder cannot be made: the disk is full';
  if (code === 'EEXIST' || code === 'ENOTDIR') return 'there is a file where a folder is needed';
  return `the folder cannot be made (${code ?? String(cause)})`;
}
