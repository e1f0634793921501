/** @file The flags of drawing that begins with a picture: which one, how much of it is left, and which part is kept. */
import type { Command } from 'commander';
import { ConfigError } from '../core/errors.ts';
import type { ImageSize } from '../core/image-size.ts';
import type { CompileCache } from '../engine/compile/cache.ts';
import type { Backend } from '../engine/runtime/session.ts';
import { encodePicture } from '../tasks/encoding/encode-picture.ts';
import type { InitImage } from '../tasks/sampling/init-image.ts';
import { readInitPicture } from '../tasks/sampling/init-picture-node.ts';
import type { LatentsInUse } from './decoder.ts';
import { numberIn } from './flags.ts';

export interface InitFlags {
  readonly initImage?: string;
  readonly strength?: number;
  readonly mask?: string;
}

export function withInitFlags(command: Command): Command {
  return command
    .optionsGroup('With which picture to begin (by default with noise):')
    .option(
      '--init-image <file>',
      'picture to begin with, under noise; its middle, at the size of what is drawn',
    )
    .option(
      '--strength <s>',
      'where to begin on the way from the picture (0) to noise (1) (default: 0.6, with --mask 1)',
      numberIn(0.001, 1),
    )
    .option('--mask <file>', 'picture of the same size: what is white is drawn anew, what is black is kept');
}

const [DEFAULT_STRENGTH, DEFAULT_STRENGTH_OF_MASK] = [0.6, 1];

/** Where drawing begins; undefined where it begins with noise. */
export function strengthOf({ initImage, strength, mask }: InitFlags): number | undefined {
  if (initImage === undefined) return undefined;
  return strength ?? (mask === undefined ? DEFAULT_STRENGTH : DEFAULT_STRENGTH_OF_MASK);
}

export interface InitUse {
  /** Of what is drawn: pixels, or latents. */
  readonly size: ImageSize;
  readonly channels: number;
  /** Undefined for a model of pixels. */
  readonly latents: LatentsInUse | undefined;
  readonly backend: Backend;
  readonly cache?: CompileCache | undefined;
}

/**
 * The picture as the model has its images: encoded, where these are latents.
 *
 * @throws ConfigError for flags that need a picture, or where nothing encodes it
 */
export async function openInit(
  { initImage, strength, mask }: InitFlags,
  { size, channels, latents, backend, cache }: InitUse,
): Promise<InitImage | undefined> {
  if (initImage === undefined) {
    const flag = strength === undefined ? mask && '--mask' : '--strength';
    if (flag === undefined) return undefined;
    throw new ConfigError({
      where: flag,
      problem: 'there is no picture that it could be of',
      fix: `add --init-image FILE, or leave ${flag} out`,
    });
  }
  if (latents === undefined) return readInitPicture(initImage, mask, { size, channels, factor: 1 });
  const { drawn, autoencoder } = latents;
  if (autoencoder === undefined) {
    throw new ConfigError({
      where: '--init-image',
      problem: `${drawn.name} draws latents, and there is no autoencoder to encode the picture with`,
      fix: 'name one with --autoencoder, without --latents',
    });
  }
  const { factor } = drawn.space;
  const picture = await readInitPicture(initImage, mask, { size, channels: RGB, factor });
  return {
    ...picture,
    image: await encodePicture(autoencoder, picture.image, { drawn, backend, cache }),
  };
}

const RGB = 3;
