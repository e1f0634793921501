/** @file Named arrays as NumPy stores them: a zip archive of `.npy` files. */
import { unzipSync, type Zippable, zipSync } from 'fflate';
import { DataError } from '../core/errors.ts';
import type { HostTensor, TensorMap } from '../core/host-tensor.ts';
import { parseNpy, serialiseNpy } from './npy.ts';

/** What `np.savez` calls an array that is given no name; sample archives of the ADM and DiT code hold just this one. */
export const UNNAMED_ARRAY = 'arr_0';

/** Above this a zip archive needs 64-bit extensions, which are not written. */
const MAX_ARCHIVE_BYTES = 2 ** 32 - 1;
/** Room for the archive's own records, per array. */
const RECORD_BYTES = 4096;
/** One fixed time, the earliest a zip archive can hold, so that the same arrays give the same bytes. */
const MODIFIED = new Date(1980, 0, 1);

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

/**
 * An `.npz` archive, not compressed, as `np.savez` writes it.
 *
 * @throws DataError when the archive would exceed 4 GiB
 */
export function serialiseNpz(tensors: TensorMap): Uint8Array {
  const files: Zippable = {};
  let archiveBytes = 0;
  for (const [name, tensor] of tensors) {
    archiveBytes += tensor.data.byteLength + RECORD_BYTES;
    if (archiveBytes > MAX_ARCHIVE_BYTES) {
      throw new DataError({
        where: 'serialiseNpz',
        problem: `with array ${name} the archive takes at least ${archiveBytes} bytes, at most ${MAX_ARCHIVE_BYTES} can be written`,
        fix: 'write several archives',
      });
    }
    const [header, values] = serialiseNpy(tensor);
    const file = new Uint8Array(header.length + values.length);
    file.set(header);
    file.set(values, header.length);
    files[`${name}.npy`] = file;
  }
  return zipSync(files, { level: 0, mtime: MODIFIED });
}
