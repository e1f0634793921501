/**
 * @file The Inception-v3 network whose features FID compares (Szegedy et al., arXiv 1512.00567; Heusel et al. 2017): the
 * TensorFlow model of 2015-12-05 under the names that its PyTorch conversion has. It differs from torchvision's network in
 * three places: average pooling leaves padding out, the last block pools by maximum, and there are 1008 classes.
 *
 * N batch · H W image · C channels
 */
import type { ImageSize } from '../../core/image-size.ts';
import { expectAxes } from '../../engine/graph/axes.ts';
import {
  add,
  averagePool2d,
  concat,
  input,
  linear,
  maxPool2d,
  mean,
  mul,
  reshape,
  slice,
  transpose,
} from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import type { Pair, WindowOptions } from '../../engine/graph/window.ts';
import { type InitRule, normalWith } from '../nn/initialise.ts';
import { interpolate, PYTORCH_BILINEAR, TENSORFLOW_BILINEAR } from '../nn/interpolation.ts';
import { ConvNormRelu, Linear } from '../nn/layers.ts';
import { Module } from '../nn/module.ts';
import type { NetworkConfig, Stage } from '../nn/network.ts';
import { FeatureNetwork } from './feature-network.ts';

export interface InceptionConfig extends NetworkConfig {
  readonly classes: number;
  /**
   * How pictures become the network's input. tensorflow: as in the evaluation suite of ADM and in the original FID.
   * pytorch: as in pytorch-fid, whose scores differ slightly.
   */
  readonly preprocessing: 'tensorflow' | 'pytorch';
}

export const INCEPTION_PRESETS: Readonly<Record<string, InceptionConfig>> = {
  'FID-Inception': { inputSize: 299, inChannels: 3, classes: 1008, preprocessing: 'tensorflow' },
};

/** The sides of the images inside: its pooling and strides fit no other size. */
const SIDE = 299;
/** Channels of sFID's features: the first of the 17×17 map (Nash et al., arXiv 2103.03841). */
const SPATIAL_CHANNELS = 7;

type Image = Tensor<'N H W C'>;

const convolution = (inputs: number, outputs: number, kernel: number | Pair, window: WindowOptions = {}) =>
  new ConvNormRelu(inputs, outputs, kernel, { ...window, eps: 1e-3 });
const VALID = { padding: 0 };
const HALVED = { stride: 2, padding: 0 };

/** A mean over 3×3 neighbours; at the border over those that there are. */
const neighbourMean = (x: Image) =>
  averagePool2d(x, { kernel: 3, stride: 1, padding: 1, countsPadding: false });
const neighbourMaximum = (x: Image) => maxPool2d(x, { kernel: 3, stride: 1, padding: 1 });
const halvedMaximum = (x: Image) => maxPool2d(x, { kernel: 3, stride: 2 });

/** Applies layers one after the other. */
const through = (x: Image, ...layers: readonly ConvNormRelu[]): Unlabelled =>
  layers.reduce<Image>((y, layer) => layer.apply(y), x) as Unlabelled;

// Blocks of parallel branches, whose channels are put side by side

/** 35×35: 1×1, 5×5, two 3×3, and pooling. */
class BlockA extends Module {
  readonly branch1x1: ConvNormRelu;
  readonly branch5x5_1: ConvNormRelu;
  readonly branch5x5_2: ConvNormRelu;
  readonly branch3x3dbl_1: ConvNormRelu;
  readonly branch3x3dbl_2: ConvNormRelu;
  readonly branch3x3dbl_3: ConvNormRelu;
  readonly branch_pool: ConvNormRelu;

  constructor(inputs: number, pooled: number) {
    super();
    this.branch1x1 = convolution(inputs, 64, 1);
    this.branch5x5_1 = convolution(inputs, 48, 1);
    this.branch5x5_2 = convolution(48, 64, 5);
    this.branch3x3dbl_1 = convolution(inputs, 64, 1);
    this.branch3x3dbl_2 = convolution(64, 96, 3);
    this.branch3x3dbl_3 = convolution(96, 96, 3);
    this.branch_pool = convolution(inputs, pooled, 1);
  }

  forward(x: Image): Unlabelled {
    return concat(
      [
        this.branch1x1.apply(x),
        through(x, this.branch5x5_1, this.branch5x5_2),
        through(x, this.branch3x3dbl_1, this.branch3x3dbl_2, this.branch3x3dbl_3),
        this.branch_pool.apply(neighbourMean(x)),
      ],
      3,
    );
  }
}

/** 35×35 → 17×17. */
class BlockB extends Module {
  readonly branch3x3: ConvNormRelu;
  readonly branch3x3dbl_1: ConvNormRelu;
  readonly branch3x3dbl_2: ConvNormRelu;
  readonly branch3x3dbl_3: ConvNormRelu;

  constructor(inputs: number) {
    super();
    this.branch3x3 = convolution(inputs, 384, 3, HALVED);
    this.branch3x3dbl_1 = convolution(inputs, 64, 1);
    this.branch3x3dbl_2 = convolution(64, 96, 3);
    this.branch3x3dbl_3 = convolution(96, 96, 3, HALVED);
  }

  forward(x: Image): Unlabelled {
    const twice = through(x, this.branch3x3dbl_1, this.branch3x3dbl_2, this.branch3x3dbl_3);
    return concat([this.branch3x3.apply(x), twice, halvedMaximum(x)], 3);
  }
}

/** 17×17: 1×1, one and two 7×7 as rows and columns, and pooling. */
class BlockC extends Module {
  readonly branch1x1: ConvNormRelu;
  readonly branch7x7_1: ConvNormRelu;
  readonly branch7x7_2: ConvNormRelu;
  readonly branch7x7_3: ConvNormRelu;
  readonly branch7x7dbl_1: ConvNormRelu;
  readonly branch7x7dbl_2: ConvNormRelu;
  readonly branch7x7dbl_3: ConvNormRelu;
  readonly branch7x7dbl_4: ConvNormRelu;
  readonly branch7x7dbl_5: ConvNormRelu;
  readonly branch_pool: ConvNormRelu;

  constructor(inputs: number, inner: number) {
    super();
    this.branch1x1 = convolution(inputs, 192, 1);
    this.branch7x7_1 = convolution(inputs, inner, 1);
    this.branch7x7_2 = convolution(inner, inner, [1, 7]);
    this.branch7x7_3 = convolution(inner, 192, [7, 1]);
    this.branch7x7dbl_1 = convolution(inputs, inner, 1);
    this.branch7x7dbl_2 = convolution(inner, inner, [7, 1]);
    this.branch7x7dbl_3 = convolution(inner, inner, [1, 7]);
    this.branch7x7dbl_4 = convolution(inner, inner, [7, 1]);
    this.branch7x7dbl_5 = convolution(inner, 192, [1, 7]);
    this.branch_pool = convolution(inputs, 192, 1);
  }

  forward(x: Image): Unlabelled {
    return this.branches(x).output;
  }

  /** With the first branch, which sFID reads. */
  branches(x: Image): { readonly first: Unlabelled; readonly output: Unlabelled } {
    const first = this.branch1x1.apply(x);
    const once = through(x, this.branch7x7_1, this.branch7x7_2, this.branch7x7_3);
    const twice = through(
      x,
      this.branch7x7dbl_1,
      this.branch7x7dbl_2,
      this.branch7x7dbl_3,
      this.branch7x7dbl_4,
      this.branch7x7dbl_5,
    );
    return { first, output: concat([first, once, twice, this.branch_pool.apply(neighbourMean(x))], 3) };
  }
}

/** 17×17 → 8×8. */
class BlockD extends Module {
  readonly branch3x3_1: ConvNormRelu;
  readonly branch3x3_2: ConvNormRelu;
  readonly branch7x7x3_1: ConvNormRelu;
  readonly branch7x7x3_2: ConvNormRelu;
  readonly branch7x7x3_3: ConvNormRelu;
  readonly branch7x7x3_4: ConvNormRelu;

  constructor(inputs: number) {
    super();
    this.branch3x3_1 = convolution(inputs, 192, 1);
    this.branch3x3_2 = convolution(192, 320, 3, HALVED);
    this.branch7x7x3_1 = convolution(inputs, 192, 1);
    this.branch7x7x3_2 = convolution(192, 192, [1, 7]);
    this.branch7x7x3_3 = convolution(192, 192, [7, 1]);
    this.branch7x7x3_4 = convolution(192, 192, 3, HALVED);
  }

  forward(x: Image): Unlabelled {
    const wide = through(x, this.branch7x7x3_1, this.branch7x7x3_2, this.branch7x7x3_3, this.branch7x7x3_4);
    return concat([through(x, this.branch3x3_1, this.branch3x3_2), wide, halvedMaximum(x)], 3);
  }
}

/** 8×8: 1×1, one and two 3×3 whose last layer is a row and a column side by side, and pooling. */
class BlockE extends Module {
  readonly branch1x1: ConvNormRelu;
  readonly branch3x3_1: ConvNormRelu;
  readonly branch3x3_2a: ConvNormRelu;
  readonly branch3x3_2b: ConvNormRelu;
  readonly branch3x3dbl_1: ConvNormRelu;
  readonly branch3x3dbl_2: ConvNormRelu;
  readonly branch3x3dbl_3a: ConvNormRelu;
  readonly branch3x3dbl_3b: ConvNormRelu;
  readonly branch_pool: ConvNormRelu;
  private readonly pool: (x: Image) => Unlabelled;

  constructor(inputs: number, pool: (x: Image) => Unlabelled) {
    super();
    this.branch1x1 = convolution(inputs, 320, 1);
    this.branch3x3_1 = convolution(inputs, 384, 1);
    this.branch3x3_2a = convolution(384, 384, [1, 3]);
    this.branch3x3_2b = convolution(384, 384, [3, 1]);
    this.branch3x3dbl_1 = convolution(inputs, 448, 1);
    this.branch3x3dbl_2 = convolution(448, 384, 3);
    this.branch3x3dbl_3a = convolution(384, 384, [1, 3]);
    this.branch3x3dbl_3b = convolution(384, 384, [3, 1]);
    this.branch_pool = convolution(inputs, 192, 1);
    this.pool = pool;
  }

  forward(x: Image): Unlabelled {
    const once = this.branch3x3_1.apply(x);
    const twice = through(x, this.branch3x3dbl_1, this.branch3x3dbl_2);
    return concat(
      [
        this.branch1x1.apply(x),
        this.branch3x3_2a.apply(once),
        this.branch3x3_2b.apply(once),
        this.branch3x3dbl_3a.apply(twice),
        this.branch3x3dbl_3b.apply(twice),
        this.branch_pool.apply(this.pool(x)),
      ],
      3,
    );
  }
}

/** Pictures in [−1, 1] of any size → the network's input, [N, C, 299, 299]. */
class Preprocessing extends Module {
  private readonly rule: InceptionConfig['preprocessing'];

  constructor(rule: InceptionConfig['preprocessing']) {
    super();
    this.rule = rule;
  }

  forward(x: Tensor<'N C H W'>): Unlabelled {
    if (this.rule === 'pytorch') return interpolate(x, [SIDE, SIDE], PYTORCH_BILINEAR);
    // TensorFlow's graph takes bytes b = 127.5 x + 127.5 to (b − 128) / 128.
    return add(mul(interpolate(x, [SIDE, SIDE], TENSORFLOW_BILINEAR), 127.5 / 128), -0.5 / 128);
  }
}

/** What is read off the network, in one pass. */
export interface InceptionFeatures {
  /** Means of the last map over its pixels, [N, 2048]: FID, precision and recall. */
  readonly pool: Unlabelled;
  /** Seven channels of the 17×17 map, channels innermost, [N, 2023]: sFID. */
  readonly spatial: Unlabelled;
  /** Logits without their bias, [N, classes]: Inception Score. */
  readonly logits: Unlabelled;
}

/** See the file's header. Field paths are the keys of pytorch-fid's `pt_inception-2015-12-05`. */
export class InceptionV3 extends FeatureNetwork {
  readonly config: InceptionConfig;
  readonly initRule: InitRule = () => normalWith(0.1);
  readonly resize: Preprocessing;
  readonly Conv2d_1a_3x3 = convolution(3, 32, 3, HALVED);
  readonly Conv2d_2a_3x3 = convolution(32, 32, 3, VALID);
  readonly Conv2d_2b_3x3 = convolution(32, 64, 3);
  readonly Conv2d_3b_1x1 = convolution(64, 80, 1);
  readonly Conv2d_4a_3x3 = convolution(80, 192, 3, VALID);
  readonly Mixed_5b = new BlockA(192, 32);
  readonly Mixed_5c = new BlockA(256, 64);
  readonly Mixed_5d = new BlockA(288, 64);
  readonly Mixed_6a = new BlockB(288);
  readonly Mixed_6b = new BlockC(768, 128);
  readonly Mixed_6c = new BlockC(768, 160);
  readonly Mixed_6d = new BlockC(768, 160);
  readonly Mixed_6e = new BlockC(768, 192);
  readonly Mixed_7a = new BlockD(768);
  readonly Mixed_7b = new BlockE(1280, neighbourMean);
  readonly Mixed_7c = new BlockE(2048, neighbourMaximum);
  readonly fc: Linear;

  constructor(config: InceptionConfig) {
    super();
    this.config = config;
    this.resize = new Preprocessing(config.preprocessing);
    this.fc = new Linear(2048, config.classes);
    this.bind();
  }

  stages(): readonly Stage[] {
    const square = (side: number, channels: number) => ({ height: side, width: side, channels });
    const names = Object.keys(this);
    const starting = (start: string) => names.filter((name) => name.startsWith(start));
    return [
      { name: 'resize', paths: ['resize'], map: square(SIDE, 3) },
      { name: 'stem', paths: starting('Conv2d_'), map: square(71, 192) },
      { name: '35×35', paths: starting('Mixed_5'), map: square(35, 288) },
      { name: '17×17', paths: starting('Mixed_6'), map: square(17, 768) },
      { name: '8×8', paths: starting('Mixed_7'), map: square(8, 2048) },
      { name: 'logits', paths: ['fc'] },
    ];
  }

  /** The pooled features of pictures [N, 3, H, W] in [−1, 1]. */
  forward(x: Tensor<'N C H W'>): Unlabelled {
    return this.features(x).pool;
  }

  features(x: Tensor<'N C H W'>): InceptionFeatures {
    expectAxes(x, 'N C H W', { C: 3 });
    return this.featuresOf(this.resize.apply(x));
  }

  /** The features of what preprocessing gives, [N, 3, 299, 299]. */
  featuresOf(resized: Tensor<'N C H W'>): InceptionFeatures {
    const image = transpose(resized, [0, 2, 3, 1]) as Image;
    const stem = halvedMaximum(through(image, this.Conv2d_1a_3x3, this.Conv2d_2a_3x3, this.Conv2d_2b_3x3));
    const at35 = halvedMaximum(through(stem, this.Conv2d_3b_1x1, this.Conv2d_4a_3x3));
    const after35 = this.Mixed_5d.apply(this.Mixed_5c.apply(this.Mixed_5b.apply(at35)));
    const before6d = this.Mixed_6c.apply(this.Mixed_6b.apply(this.Mixed_6a.apply(after35)));
    const { first, output } = this.Mixed_6d.branches(before6d);
    const last = this.Mixed_7c.apply(this.Mixed_7b.apply(this.Mixed_7a.apply(this.Mixed_6e.apply(output))));
    const pool = mean(last, [1, 2]);
    const [batch, height, width] = first.shape as [number, number, number];
    return {
      pool,
      spatial: reshape(slice(first, 3, 0, SPATIAL_CHANNELS), [batch, height * width * SPATIAL_CHANNELS]),
      logits: linear(pool, this.fc.weight.tensor),
    };
  }

  override ports(batch: number, { height, width }: ImageSize) {
    const x = input('x', [batch, 3, height, width]);
    const { pool, spatial, logits } = this.features(x);
    return { inputs: { x }, outputs: { features: pool, spatial, logits } };
  }
}
