/** @file What the numbers of an image mean, as it is written down in files. */
import * as v from 'valibot';
import type { ImageSpace, LatentSpace } from './image-space.ts';

const perChannel = v.union([v.number(), v.pipe(v.array(v.number()), v.readonly())]);

export const latentSpaceSchema = v.strictObject({
  kind: v.literal('latents'),
  autoencoder: v.string(),
  factor: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  scale: perChannel,
  shift: perChannel,
  pictureRange: v.exactOptional(v.pipe(v.tuple([v.number(), v.number()]), v.readonly())),
  autoencoderHash: v.exactOptional(v.string()),
  autoencoderPath: v.exactOptional(v.string()),
}) satisfies v.GenericSchema<unknown, LatentSpace>;

export const imageSpaceSchema: v.GenericSchema<unknown, ImageSpace> = v.variant('kind', [
  v.strictObject({ kind: v.literal('pixels') }),
  latentSpaceSchema,
]);
