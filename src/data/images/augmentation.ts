/** @file What training varies about pictures: they are mirrored, and moved on an empty background. */
import { fold, type RandomKey, randomIntegers, uniform } from '../../core/random.ts';
import { filledImage, type PixelImage, pasteImage } from './pixel-image.ts';
import { resample } from './resample.ts';

/** Whether left and right are exchanged, which suits nearly every picture: a fair coin per key. */
export function isMirrored(key: RandomKey): boolean {
  return uniform(fold(key, 'mirror'), 1)[0]! < 0.5;
}

/** At most this share of the size is taken away: 3 pixels of 32. */
const MAX_SHRINK = 3 / 32;

const WHITE = 255;

/** The whole canvas, as evaluation and plain training see it. */
export function fillCanvas(master: PixelImage, size: number): PixelImage {
  return resample(master, size, size, 'box');
}

/**
 * A picture drawn on an empty background, put somewhere else: `master` shrunk to between 29/32 and 32/32 of `size`, on a
 * white `size` × `size` canvas. Nothing is cut off, and a picture resampled from a larger master stays as sharp as the
 * plain one.
 */
export function placeRandomly(master: PixelImage, size: number, key: RandomKey): PixelImage {
  const largestShrink = Math.round(size * MAX_SHRINK);
  const shrink = randomIntegers(fold(key, 'shrink'), 1, largestShrink + 1)[0]!;
  if (shrink === 0) return fillCanvas(master, size);
  const [left, top] = randomIntegers(fold(key, 'position'), 2, shrink + 1) as unknown as [number, number];
  const canvas = filledImage(size, size, master.channels, WHITE);
  pasteImage(canvas, resample(master, size - shrink, size - shrink, 'bicubic'), left, top);
  return canvas;
}
