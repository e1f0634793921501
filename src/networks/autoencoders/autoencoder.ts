/** @file What every autoencoder is, seen from outside. */
import type { ImageSize } from '../../core/image-size.ts';
import { input } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { Network, type NetworkConfig } from '../nn/network.ts';

export interface AutoencoderConfig extends NetworkConfig {
  readonly latentChannels: number;
  /** Sides of a picture / sides of its latent. */
  readonly factor: number;
}

/** Pictures [N, C, H, W] ↔ latents [N, Z, H / factor, W / factor]. */
export abstract class Autoencoder extends Network {
  abstract override readonly config: AutoencoderConfig;
  abstract encode(x: Tensor<'N C H W'>): Unlabelled;
  abstract decode(z: Tensor<'N Z H W'>): Unlabelled;

  forward(x: Tensor<'N C H W'>): Unlabelled {
    return this.decode(this.encode(x));
  }

  /** Both halves, each with an input of its own: `x` → `latents`, `z` → `images`. */
  ports(batch: number, { height, width }: ImageSize) {
    const { inChannels, latentChannels, factor } = this.config;
    const x = input('x', [batch, inChannels, height, width]);
    const z = input('z', [batch, latentChannels, height / factor, width / factor]);
    return { inputs: { x, z }, outputs: { latents: this.encode(x), images: this.decode(z) } };
  }
}
