/** @file Labels that lie in a file for each picture. */
import { resolve } from 'node:path';
import { viewOf } from '../../../formats/view.ts';
import { cachedOrPrepared, forEachConcurrently, type PreparationOptions } from '../preparation-node.ts';
import type { StoredFiles } from './stored-files-node.ts';

/** Labels of all files, read once and kept until a file changes: there may be a million of them. */
export async function cachedLabels(
  { where, files }: StoredFiles,
  read: (name: string) => Promise<number>,
  options: PreparationOptions,
): Promise<Int32Array> {
  const names = [...files.keys()];
  const { pixels } = await cachedOrPrepared<null>(
    'labels',
    { root: resolve(where), files: [...files] },
    options,
    async () => {
      // As float64, so that a label that is no whole number is seen to be none.
      const labels = new Float64Array(names.length);
      let done = 0;
      await forEachConcurrently(names.length, async (index) => {
        labels[index] = await read(names[index]!);
        options.onProgress?.(++done, names.length);
      });
      return { manifest: null, pixels: new Uint8Array(labels.buffer) };
    },
  );
  return Int32Array.from(viewOf(Float64Array, pixels));
}
