/** @file The square crop that ADM, DiT, SiT and U-DiT train on (`center_crop_arr` of their `train.py`). */
import { cropImage, type PixelImage, sameSize } from './pixel-image.ts';
import { resample } from './resample.ts';

/**
 * The middle of `image` as `size` × `size` pixels: halved with a box filter while the short side is at least twice
 * `size`, resized bicubically so that the short side is `size`, then cut.
 */
export function centerCrop(image: PixelImage, size: number): PixelImage {
  let picture = image;
  while (Math.min(picture.width, picture.height) >= 2 * size) {
    picture = resample(picture, Math.floor(picture.width / 2), Math.floor(picture.height / 2), 'box');
  }
  const scale = size / Math.min(picture.width, picture.height);
  picture = resample(
    picture,
    roundHalfToEven(picture.width * scale),
    roundHalfToEven(picture.height * scale),
    'bicubic',
  );
  if (sameSize(picture, size, size)) return picture;
  const left = Math.floor((picture.width - size) / 2);
  const top = Math.floor((picture.height - size) / 2);
  return cropImage(picture, left, top, size, size);
}

/** Python's `round`, which decides the size of the resized picture. */
function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
