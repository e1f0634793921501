/** @file Where commands keep compiled models between runs. */
import { join } from 'node:path';
import { DiskCache } from '../compile/disk-cache-node.ts';
import { ConfigError, UditError } from '../core/errors.ts';
import { printable } from '../core/printable.ts';
import { cacheFolder } from '../data/cache-folder-node.ts';
import { wholeNumber } from './flags.ts';
import type { Terminal } from './terminal.ts';

const VARIABLE = 'UDIT_COMPILE_CACHE';
const DEFAULT_LIMIT = '10G';

/**
 * The cache in the user's cache folder. `$UDIT_COMPILE_CACHE` says how much it may hold, such as `20G`; `off`: none.
 * Where it cannot be written, the command goes on without it and says so once.
 *
 * @throws ConfigError if it says something else
 */
export function compileCache(
  { err }: Pick<Terminal, 'err'>,
  limit = process.env[VARIABLE] || DEFAULT_LIMIT,
): DiskCache | undefined {
  if (limit === 'off') return undefined;
  let isTold = false;
  const onUnkept = (error: unknown): void => {
    if (isTold) return;
    isTold = true;
    const reason = error instanceof UditError ? `${error.where}: ${error.problem}` : String(error);
    err.write(printable(`note: the compiled model is not kept: ${reason}\n`));
  };
  return new DiskCache({ folder: join(cacheFolder(), 'compiled'), maxBytes: bytesOf(limit), onUnkept });
}

function bytesOf(limit: string): number {
  try {
    return wholeNumber({ from: 0 })(limit);
  } catch (cause) {
    throw new ConfigError({
      where: VARIABLE,
      problem: `"${limit}" is no size in bytes`,
      fix: `use one such as ${DEFAULT_LIMIT}, or off`,
      cause,
    });
  }
}
