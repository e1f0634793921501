/** @file Where commands keep compiled models between runs. */
import { join } from 'node:path';
import { DiskCache } from '../compile/disk-cache-node.ts';
import { ConfigError } from '../core/errors.ts';
import { cacheFolder } from '../data/cache-folder-node.ts';
import { wholeNumber } from './flags.ts';

const VARIABLE = 'UDIT_COMPILE_CACHE';
const DEFAULT_LIMIT = '10G';

/**
 * The cache in the user's cache folder. `$UDIT_COMPILE_CACHE` says how much it may hold, such as `20G`; `off`: none.
 *
 * @throws ConfigError if it says something else
 */
export function compileCache(limit = process.env[VARIABLE] || DEFAULT_LIMIT): DiskCache | undefined {
  if (limit === 'off') return undefined;
  return new DiskCache({ folder: join(cacheFolder(), 'compiled'), maxBytes: bytesOf(limit) });
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
