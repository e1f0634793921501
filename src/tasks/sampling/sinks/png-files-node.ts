/** @file A PNG file per picture. */
import { imageAt } from '../../../data/images/pixels.ts';
import { writePng } from '../../../data/images/png-node.ts';
import { pixelsOf, type Sink } from './sink.ts';

/**
 * Each file is written as soon as its picture is there, whole or not at all.
 *
 * @param paths - of each picture, by its position
 */
export function pngFiles(paths: readonly string[]): Sink {
  return {
    async put(batch) {
      const pixels = pixelsOf(batch, 'pngFiles');
      for (let i = 0; i < batch.labels.length; i++)
        await writePng(paths[batch.first + i]!, imageAt(pixels, i));
    },
    close: async () => ({ paths }),
  };
}
