/**
 * @file Augmentation of pictures drawn on an empty background: slightly smaller, anywhere they still fit. Nothing is ever cut off, and the smaller picture is resampled from a larger master, so it stays as sharp
 * as the plain one.
 */
import { fold, type RandomKey, randomIntegers } from '../../core/random.ts';
import { filledImage, type PixelImage, pasteImage } from './pixel-image.ts';
import { resample } from './resample.ts';

/** At most this share of the size is taken away: 3 pixels of 32. */
const MAX_SHRINK = 3 / 32;

const WHITE = 255;

/** The whole canvas, as evaluation and plain training see it. */
export function fillCanvas(master: PixelImage, size: number): PixelImage {
  return resample(master, size, size, 'box');
}

/** `master` shrunk to between 29/32 and 32/32 of `size` and put somewhere on a white `size` × `size` canvas. */
export function placeRandomly(master: PixelImage, size: number, key: RandomKey): PixelImage {
  const largestShrink = Math.round(size * MAX_SHRINK);
  const shrink = randomIntegers(fold(key, 'shrink'), 1, largestShrink + 1)[0]!;
  if (shrink === 0) return fillCanvas(master, size);
  const [left, top] = randomIntegers(fold(key, 'position'), 2, shrink + 1) as unknown as [number, number];
  const canvas = filledImage(size, size, master.channels, WHITE);
  pasteImage(canvas, resample(master, size - shrink, size - shrink, 'bicubic'), left, top);
  return canvas;
}
