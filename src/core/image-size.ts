/** @file The size of an image or a latent, and how users write it: `32` for a square, else `48x32`, height first. */
import { parseCount } from './byte-size.ts';
import { ConfigError } from './errors.ts';

export interface ImageSize {
  readonly height: number;
  readonly width: number;
}

/** As configurations have it: a number where height and width are equal, else as in `48x32`. */
export type WrittenImageSize = number | `${number}x${number}`;

export function squareOf(side: number): ImageSize {
  return { height: side, width: side };
}

export function isSquare({ height, width }: ImageSize): boolean {
  return height === width;
}

/** Of a map that has one cell for `factor`² pixels. */
export function dividedBy({ height, width }: ImageSize, factor: number): ImageSize {
  return { height: height / factor, width: width / factor };
}

export function sameSize(a: ImageSize, b: ImageSize): boolean {
  return a.height === b.height && a.width === b.width;
}

/** `32` where height and width are equal, else `48x32`: height, then width, as the shapes of tensors have them. */
export function formatImageSize(size: ImageSize): string {
  return String(writtenImageSize(size));
}

export function writtenImageSize({ height, width }: ImageSize): WrittenImageSize {
  return height === width ? height : `${height}x${width}`;
}

/**
 * Reads a size as users and configurations write it: `32`, `'48x32'` or `{ height: 48, width: 32 }`.
 *
 * @param where - the flag or option, for the error
 * @throws ConfigError unless both sides are whole numbers from 1
 */
export function parseImageSize(size: string | number | ImageSize, where = 'image size'): ImageSize {
  const text = typeof size === 'object' ? `${size.height}x${size.width}` : String(size);
  const sides = text.split('x').map(parseCount);
  const [height = Number.NaN, width = height, ...others] = sides;
  if (height >= 1 && width >= 1 && others.length === 0) return { height, width };
  throw new ConfigError({
    where,
    problem: `"${text}" is neither a side nor a height and a width`,
    fix: 'write 32 for a square, or height x width such as 48x32',
  });
}
