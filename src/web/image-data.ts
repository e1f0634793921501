/** @file Pixels in the form that a canvas takes. */
import type { HostTensor } from '../core/host-tensor.ts';

/**
 * One picture as a canvas shows it.
 *
 *     canvas.getContext('2d').putImageData(toImageData(toPixels(images), 0), 0, 0);
 *
 * @param pixels - u8[N,H,W,3], as `toPixels` gives them
 * @param n - which of the N
 */
export function toImageData({ shape, data }: HostTensor<'u8'>, n: number): ImageData {
  const [, height, width] = shape as [number, number, number, number];
  const rgba = new Uint8ClampedArray(height * width * 4).fill(255);
  const begin = n * height * width * 3;
  for (let i = 0; i < height * width; i++) {
    for (let channel = 0; channel < 3; channel++) rgba[4 * i + channel] = data[begin + 3 * i + channel]!;
  }
  return new ImageData(rgba, width, height);
}
