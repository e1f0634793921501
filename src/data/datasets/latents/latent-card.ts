/** @file What udit writes beside the latents that it has encoded: what they are, and what they were made from. */
import * as v from 'valibot';
import { latentSpaceSchema } from '../../../core/image-space-schema.ts';

export const LATENTS_FORMAT = 'udit-latents-1';
/** Names all shards of a folder; written when all are there. */
export const LATENTS_FILE = 'latents.json';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const cardSchema = v.object({
  /** What the latents are, once they are scaled and shifted; they are stored as the autoencoder gave them. */
  space: latentSpaceSchema,
  /** SHA-256 of the autoencoder's weights. */
  autoencoderHash: v.string(),
  pictures: v.object({
    /** In pixels: `256`, or height and width. */
    imageSize: v.union([v.number(), v.string()]),
    /** How they were brought to this size. */
    crop: v.literal('center'),
    /** Pictures that EXIF turns were turned. */
    orientation: v.literal('follow'),
    /** What transparent ones were laid on. */
    background: v.string(),
  }),
  classNames: v.array(v.string()),
});

export type LatentCard = v.InferOutput<typeof cardSchema>;

const unreadableSchema = v.array(v.object({ name: v.string(), reason: v.string() }));

/** What each shard says of itself. */
export const shardSchema = v.object({
  card: cardSchema,
  /** Its number, from 0, and that of all shards. */
  shard: count,
  shards: count,
  /** Pictures that should be in it and cannot be read. */
  unreadable: unreadableSchema,
});
export type ShardCard = v.InferOutput<typeof shardSchema>;

export const latentsSchema = v.object({
  format: v.literal(LATENTS_FORMAT),
  card: cardSchema,
  /** File or run folder of the autoencoder, as it was named; missing for one from the catalogue. */
  autoencoderPath: v.exactOptional(v.string()),
  shards: v.array(v.object({ file: v.string(), pictures: count, bytes: count, sha256: v.string() })),
  unreadable: unreadableSchema,
});
export type LatentsFile = v.InferOutput<typeof latentsSchema>;
