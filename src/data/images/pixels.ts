/** @file Between 8-bit pixels and the values a model sees. */
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import type { PixelImage } from './pixel-image.ts';

// N batch · C H W picture

/** Byte to model value, `(b / 255 - 0.5) / 0.5` with torchvision's float32 roundings (ToTensor, then Normalize). */
const MODEL_VALUES = Float32Array.from(
  { length: 256 },
  (_, byte) => Math.fround(Math.fround(byte / 255) - 0.5) / 0.5,
);

/**
 * Writes `image` into `out` as C·H·W values in [-1, 1].
 *
 * @param mirrored - left and right exchanged
 */
export function writeModelValues(image: PixelImage, out: Float32Array, mirrored = false): void {
  const { width, height, channels, data } = image;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const source = (row * width + (mirrored ? width - 1 - column : column)) * channels;
      for (let c = 0; c < channels; c++) {
        out[(c * height + row) * width + column] = MODEL_VALUES[data[source + c]!]!;
      }
    }
  }
}

/**
 * Pixels of samples: `clamp(127.5 x + 128, 0, 255)`, truncated, as DiT's and U-DiT's `sample_ddp.py`.
 *
 * @param x - `f32[N,C,H,W]`, nominally in [-1, 1]
 * @returns `u8[N,H,W,C]`
 */
export function toPixels(x: HostTensor<'f32'>): HostTensor<'u8'> {
  const [count, channels, height, width] = x.shape as [number, number, number, number];
  const pixels = new Uint8Array(x.data.length);
  let target = 0;
  for (let n = 0; n < count; n++) {
    for (let position = 0; position < height * width; position++) {
      for (let c = 0; c < channels; c++) {
        const value = x.data[(n * channels + c) * height * width + position]!;
        const scaled = Math.fround(Math.fround(127.5 * value) + 128);
        pixels[target++] = Math.min(Math.max(scaled, 0), 255);
      }
    }
  }
  return hostTensor('u8', [count, height, width, channels], pixels);
}

/** Picture `index` of `u8[N,H,W,C]`, sharing its memory. */
export function imageAt(pixels: HostTensor<'u8'>, index: number): PixelImage {
  const [, height, width, channels] = pixels.shape as [number, number, number, number];
  const bytesPerImage = height * width * channels;
  const data = pixels.data.subarray(index * bytesPerImage, (index + 1) * bytesPerImage);
  return { width, height, channels, data };
}
