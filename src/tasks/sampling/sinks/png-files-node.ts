/** @file A PNG file per picture. */
import { open, readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { DataError } from '../../../core/errors.ts';
import { type HostTensor, zeros } from '../../../core/host-tensor.ts';
import { expectOptions, type OptionTable } from '../../../core/options.ts';
import type { Shape } from '../../../core/shape.ts';
import { imageAt } from '../../../data/images/pixels.ts';
import { NOTE_KEYWORD, writePng } from '../../../data/images/png-node.ts';
import { pngText } from '../../../data/images/png-text.ts';
import { readFully } from '../../../host/files/transfer-node.ts';
import { systemErrorCode } from '../../../host/files/write-error-node.ts';
import type { FoundPictures } from './found-pictures.ts';
import { pixelsOf, type Sink } from './sink.ts';

// H W C picture

export interface PngFilesOptions {
  /** What the picture at a position was drawn with, to be written into its file. Default: nothing is. */
  readonly noteOf?: ((position: number) => string) | undefined;
  /** Pictures that are not written again. */
  readonly found?: FoundPictures | undefined;
}

const PNG_FILES_OPTIONS: OptionTable<PngFilesOptions> = { noteOf: 'optional', found: 'optional' };

/**
 * Each file is written as soon as its picture is there, whole or not at all.
 *
 * @param paths - of each picture, by its position
 * @throws ConfigError for an option that does not exist
 */
export function pngFiles(paths: readonly string[], options: PngFilesOptions = {}): Sink {
  expectOptions(options, 'pngFiles', PNG_FILES_OPTIONS);
  const { noteOf, found } = options;
  return {
    async put(batch) {
      const pixels = pixelsOf(batch, 'pngFiles');
      for (let i = 0; i < batch.labels.length; i++) {
        const at = batch.first + i;
        if (!found?.has(at)) await writePng(paths[at]!, imageAt(pixels, i), noteOf?.(at));
      }
    },
    close: async () => ({ paths }),
  };
}

/**
 * The pictures that are there already: those of files with just the note that would be written.
 *
 * @param shape - of a picture, [H, W, C]
 * @param positions - that are looked for
 */
export async function findPngFiles(
  paths: readonly string[],
  noteOf: (position: number) => string,
  shape: Shape,
  positions: Iterable<number>,
): Promise<FoundPictures> {
  const there = new Set<number>();
  for (const at of positions) {
    const note = noteOf(at);
    if ((await noteIn(paths[at]!, note.length)) === note) there.add(at);
  }
  return {
    has: (position) => there.has(position),
    async read(first, count) {
      const pixels = zeros('u8', [count, ...shape]);
      for (let i = 0; i < count; i++) await readPixels(paths[first + i]!, pixels, i);
      return pixels;
    },
  };
}

/** What stands before a note: the head of the file, and of the note. */
const BEFORE_NOTE_BYTES = 128;

async function noteIn(path: string, length: number): Promise<string | undefined> {
  try {
    const file = await open(path);
    try {
      const begin = new Uint8Array(BEFORE_NOTE_BYTES + length);
      return pngText(begin.subarray(0, await readFully(file, begin, 0)), NOTE_KEYWORD);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function readPixels(path: string, pixels: HostTensor<'u8'>, n: number): Promise<void> {
  const { data } = imageAt(pixels, n);
  const bytes = await sharp(await readFile(path))
    .raw()
    .toBuffer()
    .catch((cause) => cause as Error);
  if (bytes instanceof Error || bytes.length !== data.length) {
    throw new DataError({
      where: path,
      problem: 'an earlier run has drawn this picture, but it cannot be read any more',
      fix: 'delete the file: the same command draws it again',
      cause: bytes,
    });
  }
  data.set(bytes);
}
