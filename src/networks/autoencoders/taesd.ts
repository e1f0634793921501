/**
 * @file TAESD, the Tiny AutoEncoders of Ollin Boer Bohan (github.com/madebyollin/taesd, MIT licence): small networks that
 * were trained to give and take the latents of a larger autoencoder. They are that of Stable Diffusion (TAESD, 4 channels),
 * SDXL (TAESDXL, 4), Stable Diffusion 3 (TAESD3, 16), FLUX.1 (TAEF1, 16) and FLUX.2 (TAEF2, 32).
 *
 * Plain convolutions of 64 channels and ReLU, so that a pixel depends on nearby latents only; TAEF2 alone has norms, in
 * the blocks of its smallest map. Pictures are in [0, 1], and latents as diffusion models draw them, without a scale.
 *
 * N batch · H W sides of a map · C channels · Z channels of a latent
 */
import { dividedBy, type ImageSize } from '../../core/image-size.ts';
import { expectAxes } from '../../engine/graph/axes.ts';
import { add, mul, relu, resizeNearest, tanh, transpose } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { pytorchDefaults } from '../nn/initialise.ts';
import { Conv2d, GroupNorm, Sequential } from '../nn/layers.ts';
import { Module } from '../nn/module.ts';
import { type Stage, trainedSizeOf } from '../nn/network.ts';
import { expectSize } from '../nn/size-units.ts';
import { Autoencoder, type AutoencoderConfig, type PictureRange } from './autoencoder.ts';

export interface TaesdConfig extends AutoencoderConfig {
  /** Channels of all maps but pictures and latents. */
  readonly width: number;
  /** Normalised channels beside the blocks of the smallest map. */
  readonly middleNorm: boolean;
}

/** All of them have three strided convolutions. */
const FACTOR = 8;

/**
 * Each 3×3 convolution reaches a pixel of its map further: 1 + 3·3 of them at 1/8 of the side, as many at 1/4 and 1/2, and
 * 1 + 3 + 1 at the full side.
 */
const DECODER_REACH = Math.ceil(10 + 10 / 2 + 10 / 4 + 5 / 8);

// Parts without parameters; they have a place among the layers, which are numbered.

class ReLU extends Module {
  forward(x: Tensor): Unlabelled {
    return relu(x);
  }
}

/** 3·tanh(x / 3): latents far from the usual ones are brought nearer. */
class SoftClamp extends Module {
  forward(x: Tensor): Unlabelled {
    return mul(tanh(mul(x, 1 / 3)), 3);
  }
}

class DoubleSides extends Module {
  forward(x: Tensor<'N H W C'>): Unlabelled {
    return resizeNearest(x, 2);
  }
}

/** ReLU(x + three convolutions of x); `pool` first adds normalised channels to x. */
class Block extends Module {
  readonly conv: Sequential;
  readonly pool: Sequential | undefined;

  constructor(width: number, hasPool: boolean) {
    super();
    const conv = () => new Conv2d(width, width, 3);
    this.conv = new Sequential(conv(), new ReLU(), conv(), new ReLU(), conv());
    this.pool = hasPool ? normalisedChannels(width) : undefined;
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    const pooled = this.pool === undefined ? x : add(x, this.pool.apply(x));
    return relu(add(this.conv.apply(pooled), pooled));
  }
}

function normalisedChannels(width: number): Sequential {
  return new Sequential(
    new Conv2d(width, 4 * width, 1, { bias: false }),
    new GroupNorm(4, 4 * width),
    new ReLU(),
    new Conv2d(4 * width, width, 1, { bias: false }),
  );
}

/** Blocks, all with norms or none. */
function blocks(width: number, count: number, hasPool = false): Block[] {
  return Array.from({ length: count }, () => new Block(width, hasPool));
}

// Model

/** A Tiny AutoEncoder; see the file's header. Field paths are the keys of both published files, below the name of the half. */
export class Taesd extends Autoencoder {
  readonly config: TaesdConfig;
  override readonly pictureRange: PictureRange = [0, 1];
  override readonly decoderReach: number | undefined;
  readonly initRule = pytorchDefaults(this);
  readonly encoder: Sequential;
  readonly decoder: Sequential;

  constructor(config: TaesdConfig) {
    super();
    this.config = config;
    // A norm sees the whole map.
    this.decoderReach = config.middleNorm ? undefined : DECODER_REACH;
    const { inChannels, latentChannels, width, middleNorm } = config;
    const down = () => new Conv2d(width, width, 3, { stride: 2, padding: 1, bias: false });
    this.encoder = new Sequential(
      new Conv2d(inChannels, width, 3),
      ...blocks(width, 1),
      ...[down(), ...blocks(width, 3)],
      ...[down(), ...blocks(width, 3)],
      ...[down(), ...blocks(width, 3, middleNorm)],
      new Conv2d(width, latentChannels, 3),
    );
    const up = () => [new DoubleSides(), new Conv2d(width, width, 3, { bias: false })];
    this.decoder = new Sequential(
      new SoftClamp(),
      new Conv2d(latentChannels, width, 3),
      new ReLU(),
      ...[...blocks(width, 3, middleNorm), ...up()],
      ...[...blocks(width, 3), ...up()],
      ...[...blocks(width, 3), ...up()],
      ...blocks(width, 1),
      new Conv2d(width, inChannels, 3),
    );
    this.bind();
  }

  stages(size: ImageSize = trainedSizeOf(this.config)): readonly Stage[] {
    const { width } = this.config;
    const stage = (half: string, scale: number, first: number, last: number): Stage => ({
      name: `${half} 1/${scale}`,
      paths: Array.from({ length: last - first + 1 }, (_, i) => `${half}.${first + i}`),
      map: { ...dividedBy(size, scale), channels: width },
    });
    return [
      stage('encoder', 1, 0, 1),
      stage('encoder', 2, 2, 5),
      stage('encoder', 4, 6, 9),
      stage('encoder', 8, 10, 14),
      stage('decoder', 8, 0, 5),
      stage('decoder', 4, 6, 10),
      stage('decoder', 2, 11, 15),
      stage('decoder', 1, 16, 19),
    ];
  }

  encode(x: Tensor<'N C H W'>): Unlabelled {
    expectAxes(x, 'N C H W', { C: this.config.inChannels });
    const unit = { unit: FACTOR, because: 'the factor between pictures and latents' };
    expectSize('TAESD', { height: x.shape[2]!, width: x.shape[3]! }, [unit]);
    return transpose(this.encoder.apply(transpose(x, [0, 2, 3, 1])), [0, 3, 1, 2]);
  }

  decode(z: Tensor<'N Z H W'>): Unlabelled {
    expectAxes(z, 'N Z H W', { Z: this.config.latentChannels });
    return transpose(this.decoder.apply(transpose(z, [0, 2, 3, 1])), [0, 3, 1, 2]);
  }
}
