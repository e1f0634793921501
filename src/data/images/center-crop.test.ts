import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { HostTensor } from '../../core/host-tensor.ts';
import { squareOf } from '../../core/image-size.ts';
import { parseSafetensors } from '../../formats/safetensors.ts';
import { centerCrop } from './center-crop.ts';
import { cropImage, type PixelImage } from './pixel-image.ts';
import { writeModelValues } from './pixels.ts';
import { resample } from './resample.ts';

const fixture = new URL('../../../test/fixtures/data/', import.meta.url);
const { cases } = JSON.parse(readFileSync(new URL('center_crop.json', fixture), 'utf8')) as {
  cases: Record<string, { width: number; height: number; image_size: number }>;
};
const { tensors } = parseSafetensors(
  readFileSync(new URL('center_crop.safetensors', fixture)),
  'center_crop',
);

describe('centerCrop', () => {
  it.each(Object.entries(cases))(
    'equals the reference with Pillow, case %s: %o',
    (name, { width, height, image_size }) => {
      const data = tensors.get(`${name}.in_hwc`)!.data as Uint8Array;
      const cropped = centerCrop({ width, height, channels: 3, data }, squareOf(image_size));
      expect(cropped.data).toEqual(tensors.get(`${name}.out_hwc`)!.data);

      const values = new Float32Array(cropped.data.length);
      writeModelValues(cropped, values, true);
      expect(values).toEqual((tensors.get(`${name}.flipped_normalised_chw`) as HostTensor<'f32'>).data);
    },
  );

  it('rounds the long side half to even, as Python does', () => {
    const picture: PixelImage = {
      width: 6,
      height: 4,
      channels: 1,
      data: Uint8Array.from({ length: 24 }, (_, i) => i * 10),
    };
    // 3 / 4 · 6 = 4.5 becomes 4 columns, of which the first three are the middle; rounding up would take 1 … 3 of 5.
    const expected = cropImage(resample(picture, 4, 3, 'bicubic'), 0, 0, 3, 3);
    expect(centerCrop(picture, squareOf(3))).toEqual(expected);
  });

  const levels = (width: number, height: number): PixelImage => {
    const data = Uint8Array.from({ length: width * height }, (_, i) => (37 * i) % 256);
    return { width, height, channels: 1, data };
  };

  it('covers a size that is no square along both sides, and cuts what is left over', () => {
    // Height decides: 30 × 18 pixels cover 8 × 18.
    const wide = levels(60, 36);
    const halved = resample(wide, 30, 18, 'box');
    expect(centerCrop(wide, { height: 18, width: 8 })).toEqual(cropImage(halved, 11, 0, 8, 18));
    // Width decides.
    const tall = levels(10, 40);
    const resized = resample(tall, 8, 32, 'bicubic');
    expect(centerCrop(tall, { height: 6, width: 8 })).toEqual(cropImage(resized, 0, 13, 8, 6));
  });

  it('is not halved where one side would become too small', () => {
    const picture = levels(40, 12);
    const expected = cropImage(resample(picture, 27, 8, 'bicubic'), 9, 0, 8, 8);
    expect(centerCrop(picture, squareOf(8))).toEqual(expected);
    expect(centerCrop(picture, { height: 12, width: 20 })).toEqual(cropImage(picture, 10, 0, 20, 12));
  });
});
