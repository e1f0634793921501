/** @file Where commands keep compiled models between runs. */
import { join } from 'node:path';
import { parseCount } from '../core/byte-size.ts';
import { ConfigError, UditError } from '../core/errors.ts';
import { DiskCache } from '../engine/compile/disk-cache-node.ts';
import { cacheFolder } from '../host/files/cache-folder-node.ts';

const VARIABLE = 'UDIT_COMPILE_CACHE';
const DEFAULT_LIMIT = '10G';

/**
 * The cache in the user's cache folder. `$UDIT_COMPILE_CACHE` says how much it may hold, such as `20G`; `off`: none.
 * Where it cannot be written, or a user without a home has none, models are compiled all the same.
 *
 * @param onNote - told once why compiled models are not kept, and each time that one was damaged
 * @throws ConfigError if it says something else
 */
export function compileCache(
  onNote: (note: string) => void = () => {},
  limit = process.env[VARIABLE] || DEFAULT_LIMIT,
): DiskCache | undefined {
  if (limit === 'off') return undefined;
  let isTold = false;
  const onUnkept = (error: unknown): void => {
    if (isTold) return;
    isTold = true;
    const reason = error instanceof UditError ? `${error.where}: ${error.problem}` : String(error);
    onNote(`the compiled model is not kept: ${reason}`);
  };
  const maxBytes = bytesOf(limit);
  let folder: string;
  try {
    folder = join(cacheFolder(), 'compiled');
  } catch (error) {
    onUnkept(error);
    return undefined;
  }
  const onDamaged = () => onNote('a compiled model in the cache was damaged: compiled again');
  return new DiskCache({ folder, maxBytes, onUnkept, onDamaged });
}

function bytesOf(limit: string): number {
  const bytes = parseCount(limit);
  if (!Number.isNaN(bytes)) return bytes;
  throw new ConfigError({
    where: VARIABLE,
    problem: `"${limit}" is no size in bytes`,
    fix: `use one such as ${DEFAULT_LIMIT}, or off`,
  });
}
