/** @file Kinds of values in a configuration. */
import * as v from 'valibot';
import { type ImageSize, parseImageSize, type WrittenImageSize, writtenImageSize } from './image-size.ts';

export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
export const countOrOff = v.nullable(count);
export const fraction = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
export const positive = v.pipe(v.number(), v.gtValue(0));

/** A size of images: `32`, `'48x32'` or `{ height: 48, width: 32 }`. */
export const imageSize = v.pipe(
  v.custom<WrittenImageSize | ImageSize>(isImageSize, 'a whole number, or height x width such as 48x32'),
  v.transform((size) => writtenImageSize(parseImageSize(size))),
);

function isImageSize(value: unknown): boolean {
  try {
    parseImageSize(value as WrittenImageSize);
    return true;
  } catch {
    return false;
  }
}
