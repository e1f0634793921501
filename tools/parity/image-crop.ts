/** @file Centre crops of the training images, and their values as the model sees them. */
import * as v from 'valibot';
import { squareOf } from '../../src/core/image-size.ts';
import { centerCrop } from '../../src/data/images/center-crop.ts';
import { writeModelValues } from '../../src/data/images/pixels.ts';
import { compareNumbers } from './comparison.ts';
import { requireTensor } from './fixture.ts';
import type { FixtureKind } from './kind.ts';
import { EXACT, README_TOLERANCES, StatedTolerance } from './tolerance.ts';

const schema = v.object({
  cases: v.record(v.string(), v.object({ image_size: v.number() })),
  tolerance: v.optional(v.string(), README_TOLERANCES.crop),
});

export const imageCrop: FixtureKind = {
  name: 'centre crop',
  recognise({ json, tensors, name }) {
    const parsed = v.safeParse(schema, json);
    if (!parsed.success) return undefined;
    const { cases, tolerance } = parsed.output;
    return async () => ({
      comparisons: Object.entries(cases).flatMap(([key, { image_size }]) => {
        const recorded = (part: string) => requireTensor(tensors, `${key}.${part}`, name);
        const image = recorded('in_hwc');
        const [height, width, channels] = image.shape as [number, number, number];
        const picture = { width, height, channels, data: image.data as Uint8Array };
        const cropped = centerCrop(picture, squareOf(image_size));
        const values = new Float32Array(cropped.data.length);
        writeModelValues(cropped, values, true);
        return [
          compareNumbers(
            `${key}.out_hwc`,
            cropped.data,
            recorded('out_hwc').data as Uint8Array,
            new StatedTolerance(tolerance).of(),
          ),
          compareNumbers(
            `${key}.flipped_normalised_chw`,
            values,
            recorded('flipped_normalised_chw').data as Float32Array,
            EXACT,
          ),
        ];
      }),
    });
  },
};
