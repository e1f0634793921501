/** @file The formats of pictures that data may hold: one list for code, guide and tests. */
import { UnreadableImage } from './unreadable-image.ts';

export interface ImageFormat {
  readonly name: string;
  /** Of file names, in lower case. */
  readonly endings: readonly string[];
}

/** Files of other endings are counted and passed over. Of an animation the first picture is read. */
export const IMAGE_FORMATS: readonly ImageFormat[] = [
  { name: 'JPEG', endings: ['.jpg', '.jpeg', '.jfif'] },
  { name: 'PNG', endings: ['.png'] },
  { name: 'WebP', endings: ['.webp'] },
  { name: 'AVIF', endings: ['.avif'] },
  { name: 'GIF', endings: ['.gif'] },
  { name: 'TIFF', endings: ['.tif', '.tiff'] },
  { name: 'BMP', endings: ['.bmp'] },
  { name: 'PPM', endings: ['.ppm'] },
  { name: 'PGM', endings: ['.pgm'] },
  { name: 'PBM', endings: ['.pbm'] },
];

export const IMAGE_ENDINGS: readonly string[] = IMAGE_FORMATS.flatMap(({ endings }) => endings);

/** The limit of libvips, so that a damaged header cannot ask for all memory. */
const MOST_PIXELS = 0x3fff ** 2;

/** @throws UnreadableImage if a picture has no pixels or too many */
export function expectDecodableSize(width: number, height: number): void {
  if (!(width >= 1 && height >= 1)) throw new UnreadableImage(`its size is ${width} x ${height}`);
  if (width * height <= MOST_PIXELS) return;
  const megapixels = Math.ceil((width * height) / 1e6);
  throw new UnreadableImage(`too large: ${megapixels} megapixels, at most ${Math.floor(MOST_PIXELS / 1e6)}`);
}
