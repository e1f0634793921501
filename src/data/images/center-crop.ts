/** @file The crop that ADM, DiT, SiT and U-DiT train on (`center_crop_arr` of their `train.py`), for any aspect ratio. */
import type { ImageSize } from '../../core/image-size.ts';
import { sameSize } from '../../core/image-size.ts';
import { roundHalfToEven } from '../../core/rounding.ts';
import { cropImage, type PixelImage } from './pixel-image.ts';
import { resample } from './resample.ts';

/**
 * The middle of `image` at the given size: halved with a box filter while it stays at least as large along both sides,
 * resized bicubically to the smallest picture that covers the size, then cut. For squares this is the reference's crop.
 */
export function centerCrop(image: PixelImage, { height, width }: ImageSize): PixelImage {
  let picture = image;
  while (picture.width >= 2 * width && picture.height >= 2 * height) {
    picture = resample(picture, Math.floor(picture.width / 2), Math.floor(picture.height / 2), 'box');
  }
  const scale = Math.max(width / picture.width, height / picture.height);
  picture = resample(
    picture,
    roundHalfToEven(picture.width * scale),
    roundHalfToEven(picture.height * scale),
    'bicubic',
  );
  if (sameSize(picture, { width, height })) return picture;
  const left = Math.floor((picture.width - width) / 2);
  const top = Math.floor((picture.height - height) / 2);
  return cropImage(picture, left, top, width, height);
}
