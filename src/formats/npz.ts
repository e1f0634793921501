/** @file Named arrays as NumPy stores them: a zip archive of `.npy` files. */
import { unzipSync } from 'fflate';
import { DataError } from '../core/errors.ts';
import type { HostTensor } from '../core/host-tensor.ts';
import { parseNpy } from './npy.ts';

/** What `np.savez` calls an array that is given no name; sample archives of the ADM and DiT code hold just this one. */
export const UNNAMED_ARRAY = 'arr_0';

/**
 * Reads an `.npz` file, stored or deflated, in the order of the archive.
 *
 * @param where what the user calls the file
 * @throws DataError when the archive or an array in it is damaged or not supported
 */
export function parseNpz(bytes: Uint8Array, where: string): Map<string, HostTensor> {
  let files: Record<string, Uint8Array>;
  try {
    files = unzipSync(bytes);
  } catch (cause) {
    throw new DataError({
      where,
      problem: `not a readable .npz archive of ${bytes.length} bytes: ${cause instanceof Error ? cause.message : String(cause)}`,
      fix: 'the file is damaged or of another kind: copy or write it again',
      cause,
    });
  }
  return new Map(
    Object.entries(files).map(([file, content]) => {
      const name = file.replace(/\.npy$/, '');
      return [name, parseNpy(content, `${where}: ${name}`)];
    }),
  );
}
