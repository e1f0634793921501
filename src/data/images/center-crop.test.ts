import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { HostTensor } from '../../core/host-tensor.ts';
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
      const cropped = centerCrop({ width, height, channels: 3, data }, image_size);
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
    expect(centerCrop(picture, 3)).toEqual(expected);
  });
});
