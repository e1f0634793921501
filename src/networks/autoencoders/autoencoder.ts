/** @file What every autoencoder is, seen from outside. */
import { dividedBy, type ImageSize } from '../../core/image-size.ts';
import { input } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { Network, type NetworkConfig } from '../nn/network.ts';
import { deviationOf, type LatentDistribution } from './latent-distribution.ts';

export interface AutoencoderConfig extends NetworkConfig {
  readonly latentChannels: number;
  /** Sides of a picture / sides of its latent. */
  readonly factor: number;
}

/** Black and white of the pictures that an autoencoder takes and gives. */
export type PictureRange = readonly [black: number, white: number];

/** Pictures [N, C, H, W] ↔ latents [N, Z, H / factor, W / factor]. */
export abstract class Autoencoder extends Network {
  abstract override readonly config: AutoencoderConfig;
  readonly pictureRange: PictureRange = [-1, 1];
  /** How many latents away something still matters to a decoded pixel; undefined: everything matters to everything. */
  readonly decoderReach: number | undefined = undefined;
  /** The likeliest latent of each picture. */
  abstract encode(x: Tensor<'N C H W'>): Unlabelled;
  abstract decode(z: Tensor<'N Z H W'>): Unlabelled;

  /** The latents of each picture. Of an autoencoder that is not variational they are certain. */
  distribution(x: Tensor<'N C H W'>): LatentDistribution {
    return { mean: this.encode(x) };
  }

  forward(x: Tensor<'N C H W'>): Unlabelled {
    return this.decode(this.encode(x));
  }

  /**
   * Both halves, each with an input of its own: `x` → `latents`, `z` → `images`. A variational encoder has the
   * `deviations` of the latents too.
   */
  ports(batch: number, size: ImageSize) {
    const { inChannels, latentChannels, factor } = this.config;
    const latent = dividedBy(size, factor);
    const x = input('x', [batch, inChannels, size.height, size.width]);
    const z = input('z', [batch, latentChannels, latent.height, latent.width]);
    const { mean, logVariance } = this.distribution(x);
    const outputs = { latents: mean, images: this.decode(z) };
    return {
      inputs: { x, z },
      outputs: logVariance === undefined ? outputs : { ...outputs, deviations: deviationOf(logVariance) },
    };
  }
}
