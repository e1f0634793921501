/** @file What the numbers of an image mean: pixels, or latents that an autoencoder turns into pixels. */
import { ConfigError } from './errors.ts';
import { dividedBy, formatImageSize, type ImageSize } from './image-size.ts';

export type ImageSpace = { readonly kind: 'pixels' } | LatentSpace;

export interface LatentSpace {
  readonly kind: 'latents';
  /** Name of the autoencoder; empty where a file does not tell. */
  readonly autoencoder: string;
  /** Sides of a picture / sides of its latent. */
  readonly factor: number;
  /** A model's latent is (the autoencoder's − shift) · scale: a number for all channels, or one for each. */
  readonly scale: number | readonly number[];
  readonly shift: number | readonly number[];
  /** Black and white as the autoencoder was given them. Default: as it was trained. */
  readonly pictureRange?: readonly [black: number, white: number];
  /** SHA-256 of the autoencoder's weights, where it was noted when the pictures were encoded. */
  readonly autoencoderHash?: string;
  /** Its file or run folder, as it was named then. */
  readonly autoencoderPath?: string;
}

/** Latents of Stable Diffusion's autoencoder, on which all published models of this kind were trained. */
export const USUAL_LATENTS = {
  kind: 'latents',
  autoencoder: '',
  factor: 8,
  scale: 0.18215,
  shift: 0,
} as const;

/** The scale or shift of each channel. */
export function perChannel(value: number | readonly number[], channels: number): readonly number[] {
  return typeof value === 'number' ? new Array<number>(channels).fill(value) : value;
}

const PIXEL_CHANNELS = 3;

/** What images of so many channels are taken to be where nothing tells: grey or RGB pixels, or latents. */
export function usualSpace(channels: number): ImageSpace {
  return channels <= PIXEL_CHANNELS ? { kind: 'pixels' } : USUAL_LATENTS;
}

/** The size of the pictures behind latents of this size. */
export function sizeInPixels({ factor }: LatentSpace, { height, width }: ImageSize): ImageSize {
  return { height: height * factor, width: width * factor };
}

/**
 * The size in a space of pictures that have this many pixels.
 *
 * @param where - the flag or option that asks for it, for the error
 * @throws ConfigError unless an autoencoder's factor divides both sides
 */
export function sizeInSpace(space: ImageSpace, pixels: ImageSize, where = '--image-size'): ImageSize {
  if (space.kind === 'pixels') return pixels;
  const { factor } = space;
  const { height, width } = pixels;
  if (height % factor === 0 && width % factor === 0) return dividedBy(pixels, factor);
  const next = (side: number) => Math.ceil(side / factor) * factor;
  throw new ConfigError({
    where,
    problem: `${formatImageSize(pixels)} is not a multiple of ${factor}, the factor between pictures and latents`,
    fix: `use ${formatImageSize({ height: next(height), width: next(width) })}`,
  });
}
