/** @file Image files to pixels, read as Pillow reads them. */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { DataError } from '../../core/errors.ts';
import { systemErrorCode } from '../../host/files/write-error-node.ts';
import { hasTransparency, layOn, type Rgb } from './background.ts';
import type { PixelImage } from './pixel-image.ts';

/** What torchvision's `ImageFolder` takes for an image; those that cannot be decoded here are reported, not ignored. */
export const IMAGE_EXTENSIONS: ReadonlySet<string> = new Set(
  '.jpg .jpeg .png .ppm .bmp .pgm .tif .tiff .webp'.split(' '),
);

export interface DecodedImage {
  /** RGB. */
  readonly image: PixelImage;
  /** Was any of the file's pixels not opaque? */
  readonly transparent: boolean;
}

/**
 * RGB pixels of an image file. The EXIF orientation and the colour profile are ignored and grey is spread over three
 * channels, as Pillow does.
 *
 * @param background - what a picture with transparency is laid on; null drops alpha, which gives the reference's
 * `PIL.Image.open(path).convert('RGB')`
 * @throws an Error whose message is one line that says why the file cannot be read, also if it ends too early
 * @throws {@link DataError} if at this time no file can be read
 */
export async function decodeRgb(path: string, background: Rgb | null): Promise<DecodedImage> {
  try {
    // Reading the file here and not in sharp gives the system's own reason when that fails.
    const { data, info } = await sharp(await readFile(path), { failOn: 'error', ignoreIcc: true })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const decoded = { width: info.width, height: info.height, channels: info.channels, data };
    return { image: layOn(decoded, background), transparent: hasTransparency(decoded) };
  } catch (error) {
    throw tooManyFilesError(path, error) ?? new Error(reasonOf(error), { cause: error });
  }
}

/**
 * The error for a system that has no more files to open; undefined for other failures. It says nothing about the file
 * that was to be read, so nothing must be concluded from it.
 */
export function tooManyFilesError(path: string, cause: unknown): DataError | undefined {
  const code = systemErrorCode(cause);
  if (code !== 'EMFILE' && code !== 'ENFILE') return undefined;
  return new DataError({
    where: path,
    problem: `too many files are open to read it (${code})`,
    fix: 'allow more with ulimit -n 4096, or close other programs',
    cause,
  });
}

/** The decoder's messages in the user's words. */
const REASONS: readonly (readonly [message: RegExp, reason: string])[] = [
  [/buffer is empty/i, 'the file is empty'],
  [/unsupported image format/, 'not an image, or of a format that cannot be read'],
];

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = systemErrorCode(error);
  if (code !== undefined) return `the file cannot be opened (${code})`;
  const known = REASONS.find(([message]) => message.test(error.message));
  if (known !== undefined) return known[1];
  const firstLine = error.message.split('\n')[0]!.replace(/^Input buffer has /, '');
  return `cut off or damaged (${firstLine})`;
}
