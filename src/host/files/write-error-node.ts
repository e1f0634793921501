/** @file Why a file cannot be written, in words, as an error of the kind that the caller speaks of. */
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ErrorDetails, UditError } from '../../core/errors.ts';

/** The kind of error: a checkpoint that cannot be written is a `CheckpointError`, a picture a `DataError`. */
export type UditErrorClass = new (details: ErrorDetails) => UditError;

/**
 * @param cause - what a function of `node:fs` threw
 * @param neededBytes - size of the whole file
 */
export async function wholeFileError(
  path: string,
  cause: unknown,
  neededBytes: number,
  Failure: UditErrorClass,
): Promise<UditError> {
  const folder = dirname(path);
  const code = systemErrorCode(cause);
  if (isDiskFull(code)) {
    return new Failure({
      where: path,
      problem: `the disk is full: the file needs ${neededBytes} bytes, ${await describeFreeSpace(folder)}`,
      fix: 'free some space; the previous file, if there was one, is unchanged',
      cause,
    });
  }
  if (code === 'ENOENT') {
    const problem = `cannot be written: the folder ${folder} does not exist`;
    return new Failure({ where: path, problem, fix: 'create the folder first', cause });
  }
  if (code === 'EISDIR') {
    const problem = 'cannot be written: it is a folder';
    return new Failure({ where: path, problem, fix: 'give the name of a file', cause });
  }
  return new Failure({
    where: path,
    problem: `cannot be written (${code ?? String(cause)})`,
    fix: `check that you may write into ${folder}`,
    cause,
  });
}

/** Such as `ENOENT`; undefined for what is no error of the system. */
export function systemErrorCode(cause: unknown): string | undefined {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
}

/** Does a path lead to nothing? */
export function isNowhere(cause: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(systemErrorCode(cause) ?? '');
}

/** No space on the disk, or none that this user may take. */
export function isDiskFull(code: string | undefined): boolean {
  return code === 'ENOSPC' || code === 'EDQUOT';
}

async function describeFreeSpace(folder: string): Promise<string> {
  const free = await freeBytes(folder);
  return free === undefined ? 'free space unknown' : `${free} are free`;
}

/** What this user may still write on the disk of `folder`; undefined where that cannot be told. */
export async function freeBytes(folder: string): Promise<number | undefined> {
  try {
    const { blocks, bavail, bsize } = await statfs(folder);
    return blocks === 0 ? undefined : bavail * bsize; // such as /proc, which has no blocks to be free
  } catch {
    return undefined;
  }
}
