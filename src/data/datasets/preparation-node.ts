/** @file What preparing a dataset on this machine has in common: options, the cache, and work on several pictures at once. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { DataError } from '../../core/errors.ts';
import type { OptionTable } from '../../core/options.ts';
import { cacheFolder } from '../../host/files/cache-folder-node.ts';
import { type CachedPixels, cacheKey, readPixelCache, writePixelCache } from './pixel-cache-node.ts';

export interface PreparationOptions {
  /** Folder of prepared pixels; {@link cacheFolder} by default, null keeps nothing. */
  readonly cacheFolder?: string | null;
  /** Called after each prepared picture. Not called at all when the cache already holds them. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Told what went wrong without stopping the work, e.g. a cache folder that cannot be written. */
  readonly onWarning?: (message: string) => void;
}

export const PREPARATION_OPTIONS: OptionTable<PreparationOptions> = {
  cacheFolder: 'optional',
  onProgress: 'optional',
  onWarning: 'optional',
};

/**
 * Pixels from the cache, or prepared and then cached. A cache that cannot be written costs time at the next start,
 * so it is a warning and no failure.
 *
 * @param name - readable start of the file name
 * @param identity - everything the pixels depend on, as JSON
 */
export async function cachedOrPrepared<Manifest>(
  name: string,
  identity: unknown,
  options: PreparationOptions,
  prepare: () => Promise<CachedPixels<Manifest>>,
): Promise<CachedPixels<Manifest>> {
  const folder = options.cacheFolder === undefined ? usualFolder(options) : options.cacheFolder;
  if (folder === null) return prepare();
  const path = join(folder, `${name}-${cacheKey(identity)}.pixels`);
  const cached = await readPixelCache<Manifest>(path);
  if (cached !== null) return cached;
  const prepared = await prepare();
  try {
    await writePixelCache(path, prepared);
  } catch (error) {
    warnUnkept(options, error);
  }
  return prepared;
}

function usualFolder(options: PreparationOptions): string | null {
  try {
    return cacheFolder();
  } catch (error) {
    warnUnkept(options, error);
    return null;
  }
}

function warnUnkept({ onWarning }: PreparationOptions, error: unknown): void {
  if (!(error instanceof DataError)) throw error;
  onWarning?.(`prepared pictures could not be kept: ${error.where}: ${error.problem}`);
}

/** Runs `task` for `0 … count-1`, a few at a time; the first failure stops the rest and is thrown. */
export async function forEachConcurrently(
  count: number,
  task: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const index = next++;
      try {
        await task(index);
      } catch (error) {
        next = count;
        throw error;
      }
    }
  };
  // Twice the cores: while one picture is read or copied, another is decoded.
  await Promise.all(Array.from({ length: Math.min(count, 2 * availableParallelism()) }, worker));
}
