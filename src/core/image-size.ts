/** @file The size of an image or a latent, and how users write it: `32` for a square, else `48x32`, height first. */
import { parseCount } from './byte-size.ts';
import { ConfigError } from './errors.ts';

export interface ImageSize {
  readonly height: number;
  readonly width: number;
}

export function squareOf(side: number): ImageSize {
  return { height: side, width: side };
}

export function isSquare({ height, width }: ImageSize): boolean {
  return height === width;
}

export function sameSize(a: ImageSize, b: ImageSize): boolean {
  return a.height === b.height && a.width === b.width;
}

/** `32` where height and width are equal, else `48x32`: height, then width, as the shapes of tensors have them. */
export function formatImageSize({ height, width }: ImageSize): string {
  return height === width ? String(height) : `${height}x${width}`;
}

/** As configurations have it: a number where height and width are equal, else {@link formatImageSize}. */
export function writtenImageSize(size: ImageSize): number | string {
  return isSquare(size) ? size.height : formatImageSize(size);
}

/**
 * Reads what {@link formatImageSize} writes.
 *
 * @param where - the flag or option, for the error
 * @throws ConfigError unless both sides are whole numbers from 1
 */
export function parseImageSize(text: string | number, where = 'image size'): ImageSize {
  const sides = String(text).split('x').map(parseCount);
  const [height = Number.NaN, width = height, ...others] = sides;
  if (height >= 1 && width >= 1 && others.length === 0) return { height, width };
  throw new ConfigError({
    where,
    problem: `"${text}" is neither a side nor a height and a width`,
    fix: 'write 32 for a square, or height x width such as 48x32',
  });
}
