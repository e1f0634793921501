/** @file Named arrays as NumPy stores them: a zip archive of `.npy` files. */
import { DataError } from '../core/errors.ts';
import type { HostTensor } from '../core/host-tensor.ts';
import { ofData } from './data-fault.ts';
import { parseNpy, UnsupportedElements } from './npy.ts';
import { unzip } from './zip.ts';

/** What `np.savez` calls an array that is given no name; sample archives of the ADM and DiT code hold just this one. */
export const UNNAMED_ARRAY = 'arr_0';

/**
 * Reads an `.npz` file, stored or deflated, in the order of the archive.
 *
 * @param where what the user calls the file
 * @param wanted - the arrays that must be read; by default every array of a supported element type is
 * @throws DataError when the archive or an array in it is damaged, or one that is wanted is missing or not supported
 */
export function parseNpz(
  bytes: Uint8Array,
  where: string,
  wanted?: readonly string[],
): Map<string, HostTensor> {
  const files = ofData(() => unzip(bytes, where));
  const arrays = new Map<string, HostTensor>();
  for (const [file, read] of files) {
    const name = file.replace(/\.npy$/, '');
    const isAsked = wanted?.includes(name) ?? file.endsWith('.npy');
    if (!isAsked) continue;
    try {
      arrays.set(name, parseNpy(ofData(read), `${where}: ${name}`));
    } catch (error) {
      if (wanted !== undefined || !(error instanceof UnsupportedElements)) throw error;
    }
  }
  const missing = wanted?.find((name) => !arrays.has(name));
  if (missing === undefined) return arrays;
  throw new DataError({
    where,
    problem: `there is no array ${missing} in it, but ${[...files.keys()].join(', ') || 'none at all'}`,
    fix: 'give an archive that has it',
  });
}
