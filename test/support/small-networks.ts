/** @file Networks that are no denoisers, small enough to be trained for a few steps: each of its role's usual operations. */
import * as v from 'valibot';
import { dividedBy, type ImageSize } from '../../src/core/image-size.ts';
import { count } from '../../src/core/values.ts';
import {
  averagePool2d,
  maxPool2d,
  relu,
  reshape,
  resizeNearest,
  silu,
  tanh,
  transpose,
} from '../../src/engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../src/engine/graph/tensor.ts';
import { Autoencoder, type AutoencoderConfig } from '../../src/networks/autoencoders/autoencoder.ts';
import type { NetworkFamily } from '../../src/networks/family.ts';
import { FeatureNetwork } from '../../src/networks/features/feature-network.ts';
import { normalWith } from '../../src/networks/nn/initialise.ts';
import { Conv2d, GroupNorm, Linear } from '../../src/networks/nn/layers.ts';
import { type NetworkConfig, trainedSizeOf } from '../../src/networks/nn/network.ts';

const toChannelsLast = (x: Tensor) => transpose(x, [0, 2, 3, 1]);
const toChannelsFirst = (x: Tensor) => transpose(x, [0, 3, 1, 2]);

export interface SmallAutoencoderConfig extends AutoencoderConfig {
  readonly width: number;
}

/** Two strided convolutions down, two nearest resizes up. */
export class SmallAutoencoder extends Autoencoder {
  readonly config: SmallAutoencoderConfig;
  readonly initRule = () => normalWith(0.2);
  readonly down1: Conv2d;
  readonly norm1: GroupNorm;
  readonly down2: Conv2d;
  readonly up1: Conv2d;
  readonly norm2: GroupNorm;
  readonly up2: Conv2d;

  constructor(config: SmallAutoencoderConfig) {
    super();
    const { inChannels, latentChannels, width } = config;
    this.config = config;
    this.down1 = new Conv2d(inChannels, width, 3, { stride: 2, padding: 1 });
    this.norm1 = new GroupNorm(2, width);
    this.down2 = new Conv2d(width, latentChannels, 3, { stride: 2, padding: 1 });
    this.up1 = new Conv2d(latentChannels, width, 3);
    this.norm2 = new GroupNorm(2, width);
    this.up2 = new Conv2d(width, inChannels, 3);
    this.bind();
  }

  stages(size: ImageSize = trainedSizeOf(this.config)) {
    const map = (scale: number, channels: number) => ({
      ...dividedBy(size, scale),
      channels,
    });
    return [
      { name: 'encoder', paths: ['down1', 'norm1', 'down2'], map: map(4, this.config.latentChannels) },
      { name: 'decoder', paths: ['up1', 'norm2', 'up2'], map: map(1, this.config.inChannels) },
    ];
  }

  encode(x: Tensor<'N C H W'>): Unlabelled {
    const half = silu(this.norm1.apply(this.down1.apply(toChannelsLast(x))));
    return toChannelsFirst(this.down2.apply(half));
  }

  decode(z: Tensor<'N Z H W'>): Unlabelled {
    const half = relu(this.norm2.apply(this.up1.apply(resizeNearest(toChannelsLast(z), 2))));
    return toChannelsFirst(tanh(this.up2.apply(resizeNearest(half, 2))));
  }
}

export interface SmallClassifierConfig extends NetworkConfig {
  readonly width: number;
  readonly classes: number;
}

/** A convolution, pooling of both kinds, and a linear layer to the scores. */
export class SmallClassifier extends FeatureNetwork {
  readonly config: SmallClassifierConfig;
  readonly initRule = () => normalWith(0.3);
  readonly stem: Conv2d;
  readonly norm: GroupNorm;
  readonly body: Conv2d;
  readonly head: Linear;

  constructor(config: SmallClassifierConfig) {
    super();
    const { inChannels, width, classes } = config;
    this.config = config;
    this.stem = new Conv2d(inChannels, width, 3);
    this.norm = new GroupNorm(2, width);
    this.body = new Conv2d(width, width, 3, { stride: 2, padding: 1 });
    this.head = new Linear(width, classes);
    this.bind();
  }

  stages() {
    return [
      { name: 'body', paths: ['stem', 'norm', 'body'] },
      { name: 'head', paths: ['head'] },
    ];
  }

  forward(x: Tensor<'N C H W'>): Unlabelled {
    const pooled = maxPool2d(relu(this.norm.apply(this.stem.apply(toChannelsLast(x)))), { kernel: 2 });
    const map = silu(this.body.apply(pooled));
    const [n, height, width, channels] = map.shape as [number, number, number, number];
    return this.head.apply(reshape(averagePool2d(map, { kernel: [height, width] }), [n, channels]));
  }
}

const common = { inputSize: count, inChannels: count, width: count };

export const SMALL_FAMILIES = {
  'Small autoencoder': {
    role: 'autoencoder',
    options: { ...common, latentChannels: count, factor: v.literal(4) },
    build: (config: SmallAutoencoderConfig) => new SmallAutoencoder(config),
    presets: {},
  },
  'Small classifier': {
    role: 'features',
    options: { ...common, classes: count },
    build: (config: SmallClassifierConfig) => new SmallClassifier(config),
    presets: {},
  },
} as const satisfies Readonly<Record<string, NetworkFamily>>;
