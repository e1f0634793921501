/** @file Image files to pixels, read as Pillow reads them. */
import { readFile } from 'node:fs/promises';
import sharp, { type Metadata, type Sharp } from 'sharp';
import { DataError } from '../../core/errors.ts';
import { systemErrorCode } from '../../host/files/write-error-node.ts';
import { hasTransparency, layOn, type Rgb } from './background.ts';
import { isBmp, readBmp } from './bmp.ts';
import { clippedGrey, cmykToRgb, greyToRgb, yCbCrToRgb } from './colour-spaces.ts';
import { expectDecodableSize } from './image-formats.ts';
import { isNetpbm, readNetpbm } from './netpbm.ts';
import type { Orientation } from './orientation.ts';
import type { PixelImage } from './pixel-image.ts';
import { hasPlainYCbCr } from './tiff-photometric.ts';
import { UnreadableImage } from './unreadable-image.ts';

export interface DecodedImage {
  /** RGB. */
  readonly image: PixelImage;
  /** Was any of the file's pixels not opaque? */
  readonly transparent: boolean;
  /** Does a tag of the file turn it, whether that was followed or not? */
  readonly turned: boolean;
  /** Were grey levels of 16 bits cut off at 255? */
  readonly clipped: boolean;
}

/** A picture with alpha, if it has any. */
interface StoredImage extends Pick<DecodedImage, 'turned' | 'clipped'> {
  readonly image: PixelImage;
}

/**
 * RGB pixels of an image file. The colour profile is ignored, grey is spread over three channels, levels of 16 bits are
 * cut to their upper 8 bits in colour and cut off at 255 in grey, as Pillow does. Of an animation it is the first picture.
 *
 *     const { image } = await decodeRgb('photos/cats/1.png');
 *     console.log(image.width, image.height);
 *
 * @param file - its path, or its content
 * @param background - what a picture with transparency is laid on; null drops alpha, which gives the reference's
 * `PIL.Image.open(path).convert('RGB')`
 * @param orientation - `ignore` leaves pictures lying that only EXIF turns, as the reference does
 * @throws an Error whose message is one line that says why the file cannot be read, also if it ends too early
 * @throws {@link DataError} if at this time no file can be read
 */
export async function decodeRgb(
  file: string | Uint8Array,
  background: Rgb | null = null,
  orientation: Orientation = 'follow',
): Promise<DecodedImage> {
  try {
    const { image, ...treatment } = await decode(await contentOf(file), orientation);
    return { image: layOn(image, background), transparent: hasTransparency(image), ...treatment };
  } catch (error) {
    throw (
      tooManyFilesError(typeof file === 'string' ? file : 'pictures', error) ??
      new Error(describeFailure(error), { cause: error })
    );
  }
}

/** Reading the file here and not in sharp gives the system's own reason when that fails. */
async function contentOf(file: string | Uint8Array): Promise<Buffer> {
  if (typeof file === 'string') return readFile(file);
  return Buffer.from(file.buffer, file.byteOffset, file.byteLength);
}

async function decode(bytes: Buffer, orientation: Orientation): Promise<StoredImage> {
  if (isBmp(bytes)) return { image: readBmp(bytes), turned: false, clipped: false };
  if (isNetpbm(bytes)) return { ...readNetpbm(bytes), turned: false };
  const header = await sharp(bytes, { limitInputPixels: false }).metadata();
  expectReadable(header);
  const turned = (header.orientation ?? 1) > 1;
  // Pillow itself turns pictures in TIFF.
  const follows = orientation === 'follow' || header.format === 'tiff';
  const stored = sharp(bytes, { failOn: 'error', ignoreIcc: true, limitInputPixels: false });
  const picture = turned && follows ? stored.autoOrient() : stored;
  return { turned, ...(await decodeAs(header, picture, bytes)) };
}

async function decodeAs(
  header: Metadata,
  picture: Sharp,
  bytes: Uint8Array,
): Promise<Omit<StoredImage, 'turned'>> {
  if (header.space === 'grey16' && header.channels === 1) {
    const { data, ...size } = await pixelsOf(picture.toColourspace('grey16').raw({ depth: 'ushort' }));
    const grey = clippedGrey(shortsOf(data));
    return { image: { ...size, channels: 3, data: greyToRgb(grey.data) }, clipped: grey.clipped };
  }
  if (header.space === 'cmyk') {
    // Without a conversion, which would follow a colour profile.
    const inks = picture.pipelineColourspace('cmyk').toColourspace('cmyk');
    const isDeep = header.depth === 'ushort';
    const { data, channels, ...size } = await pixelsOf(inks.raw({ depth: isDeep ? 'ushort' : 'uchar' }));
    const levels = isDeep ? Uint8Array.from(shortsOf(data), (level) => level >> 8) : data;
    return { image: { ...size, channels: 3, data: cmykToRgb(levels, channels) }, clipped: false };
  }
  const image = await pixelsOf(picture.toColourspace('srgb').raw({ depth: 'uchar' }));
  if (header.format !== 'tiff' || !hasPlainYCbCr(bytes)) return { image, clipped: false };
  return { image: { ...image, channels: 3, data: yCbCrToRgb(image.data, image.channels) }, clipped: false };
}

async function pixelsOf(picture: Sharp): Promise<PixelImage & { readonly data: Buffer }> {
  const { data, info } = await picture.toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, channels: info.channels, data };
}

/** In the byte order of this machine, as libvips gives them. */
function shortsOf(data: Buffer): Uint16Array {
  return new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
}

/** What libvips calls the formats that are read; it knows others, such as SVG, that no folder of pictures means. */
const FORMATS: ReadonlySet<string> = new Set(['jpeg', 'png', 'webp', 'heif', 'gif', 'tiff']);
/** Of a channel. For other numbers nothing tells which is black and which white. */
const DEPTHS: Readonly<Record<string, string>> = {
  float: 'of 32-bit floating point',
  double: 'of 64-bit floating point',
  int: 'of 32-bit integers',
  uint: 'of 32-bit integers',
  short: 'of 16-bit integers with a sign',
  char: 'of 8-bit integers with a sign',
  complex: 'of complex numbers',
  dpcomplex: 'of complex numbers',
};

/** @throws UnreadableImage for pixels that are none of pictures, or too many */
function expectReadable({ format, depth, width, height }: Metadata): void {
  if (!FORMATS.has(format)) throw new UnreadableImage(UNKNOWN_FORMAT);
  expectDecodableSize(width, height);
  const numbers = DEPTHS[depth];
  if (numbers === undefined) return;
  throw new UnreadableImage(`its pixels are ${numbers}, and nothing says which is black and which is white`);
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

const UNKNOWN_FORMAT = 'not an image, or of a format that cannot be read';

/** The decoder's messages in the user's words. */
const REASONS: readonly (readonly [message: RegExp, reason: string])[] = [
  [/buffer is empty/i, 'the file is empty'],
  [/unsupported image format/, UNKNOWN_FORMAT],
];

function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof UnreadableImage) return error.message;
  const code = systemErrorCode(error);
  if (code !== undefined) return `the file cannot be opened (${code})`;
  const known = REASONS.find(([message]) => message.test(error.message));
  if (known !== undefined) return known[1];
  const firstLine = error.message.split('\n')[0]!.replace(/^Input buffer has /, '');
  return `cut off or damaged (${firstLine})`;
}
