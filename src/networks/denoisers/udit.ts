/**
 * @file U-DiT (Tian et al., "U-DiTs: Downsample Tokens in U-Shaped Diffusion Transformers", arXiv 2405.02730).
 *
 * A U-Net of transformer blocks over a latent or a small image: two encoder levels, a bottleneck, two decoder levels,
 * skip connections by concatenation, and no patchify. Its self-attention runs on downsampled tokens: a depthwise
 * convolution, then the four interleaved sub-grids of the feature map attend separately, which costs a quarter of full
 * attention. Differs from DiT also by cosine attention, 2-D rotary positions and a convolutional FFN whose parallel
 * kernels are merged for evaluation. A "block" is two attention + FFN pairs, each with its own adaLN. Without these
 * parts it is the paper's DiT-UNet: every step between the two is a value of the configuration.
 *
 * N batch · H W image · C channels
 */
import { ConfigError } from '../../core/errors.ts';
import { dividedBy } from '../../core/image-size.ts';
import { expectAxes } from '../../engine/graph/axes.ts';
import { add, chunk, concat, reshape, slice, transpose } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import {
  adaLNModulation,
  adaLNZero,
  adaptiveNorm,
  LabelEmbedder,
  TimestepEmbedder,
} from '../nn/conditioning.ts';
import {
  filledWith,
  type InitRule,
  normalWith,
  xavierUniform,
  xavierUniformAsMatrix,
  zeros,
} from '../nn/initialise.ts';
import { Conv2d, PointwiseConv2d, type Sequential } from '../nn/layers.ts';
import { Module } from '../nn/module.ts';
import { type FeatureMap, type Stage, type TraceOptions, trainedSizeOf } from '../nn/network.ts';
import { expectSize, type SizeUnit } from '../nn/size-units.ts';
import { type Condition, Denoiser, type DenoiserConfig } from './denoiser.ts';
import { type AttentionLevel, type AttentionOptions, DownsampledAttention } from './udit-attention.ts';
import { type FeedForward, type FeedForwardKind, feedForward } from './udit-feed-forward.ts';

// Configuration

export interface UDiTConfig extends DenoiserConfig, AttentionOptions {
  /** Channels of the first level; the levels have width, 2·width, 4·width, 2·width, 2·width. */
  readonly width: number;
  /** Blocks per level: encoder 1, encoder 2, bottleneck, decoder 2, decoder 1. */
  readonly depth: readonly number[];
  /** Hidden channels of the FFN / C. */
  readonly mlpRatio: number;
  /** Side factor by which attention downsamples tokens; one number, or one per level. 1 is full attention. */
  readonly downFactor: number | readonly number[];
  readonly ffn: FeedForwardKind;
}

const LEVEL_NAMES = [
  'encoder_level_1',
  'encoder_level_2',
  'latent',
  'decoder_level_2',
  'decoder_level_1',
] as const;
/** Sides are divided by this between levels. */
const LEVEL_SCALES = [1, 2, 4, 2, 1] as const;

interface LevelConfig extends AttentionLevel, Pick<UDiTConfig, 'mlpRatio' | 'ffn'> {}

function downFactorOf({ downFactor }: UDiTConfig, level: number): number {
  return typeof downFactor === 'number' ? downFactor : downFactor[level]!;
}

/** @throws ConfigError for the first combination that cannot work */
function checkConfig(config: UDiTConfig): void {
  const fail = (problem: string, fix: string) => new ConfigError({ where: 'U-DiT', problem, fix });
  const { width, heads, depth, downFactor, mlpRatio, ffn } = config;
  if (depth.length !== 5) {
    throw fail(
      `depth has ${depth.length} entries, the U has 5 levels`,
      'give five block counts, as in 2,5,8,5,2',
    );
  }
  if (typeof downFactor !== 'number' && downFactor.length !== 5) {
    throw fail(`down factor has ${downFactor.length} entries, the U has 5 levels`, 'give one number or five');
  }
  if (width % heads !== 0 || (config.position === 'rope2d' && (width / heads) % 4 !== 0)) {
    const unit = config.position === 'rope2d' ? 4 * heads : heads;
    throw fail(
      `width ${width} with ${heads} heads gives ${width / heads} channels per head`,
      `use a width that is a multiple of ${unit}, such as ${Math.ceil(width / unit) * unit}`,
    );
  }
  if (ffn === 'rep' && (width * mlpRatio) % 2 !== 0) {
    throw fail(`${width} · mlp ratio ${mlpRatio} is odd; the rep FFN halves it`, 'use an even product');
  }
  expectSize('U-DiT', trainedSizeOf(config), sizeUnits(config));
}

function sizeUnits(config: UDiTConfig): SizeUnit[] {
  const halvings = { unit: Math.max(...LEVEL_SCALES), because: 'for maps are halved twice' };
  if (config.tokens === 'none') return [halvings];
  const levels = LEVEL_SCALES.map((scale, level) => {
    const factor = downFactorOf(config, level);
    const because = `${scale === 1 ? '' : `${scale} times `}the down factor of ${LEVEL_NAMES[level]}`;
    return { unit: scale * factor, because, orElse: 'down factor 1 at this level' };
  });
  return [halvings, ...levels];
}

// Blocks

/** Two attention + FFN pairs with adaLN-Zero conditioning. */
class UDiTBlock extends Module {
  readonly attn1: DownsampledAttention;
  readonly mlp1: FeedForward;
  readonly adaLN_modulation1: Sequential;
  readonly attn2: DownsampledAttention;
  readonly mlp2: FeedForward;
  readonly adaLN_modulation2: Sequential;

  constructor(level: LevelConfig) {
    super();
    const { width, mlpRatio, ffn } = level;
    this.attn1 = new DownsampledAttention(level);
    this.mlp1 = feedForward(ffn, width, width * mlpRatio);
    this.adaLN_modulation1 = adaLNModulation(width, 6);
    this.attn2 = new DownsampledAttention(level);
    this.mlp2 = feedForward(ffn, width, width * mlpRatio);
    this.adaLN_modulation2 = adaLNModulation(width, 6);
  }

  forward(x: Tensor<'N H W C'>, c: Tensor<'N C'>, options: TraceOptions): Unlabelled {
    const pair = (h: Tensor, modulation: Sequential, attn: DownsampledAttention, mlp: FeedForward) =>
      adaLNZero(
        h,
        modulation.apply(c),
        { attend: (map) => attn.apply(map, options), feedForward: (map) => mlp.apply(map, options) },
        options,
      );
    const y = pair(x, this.adaLN_modulation1, this.attn1, this.mlp1);
    return pair(y, this.adaLN_modulation2, this.attn2, this.mlp2);
  }
}

/** 3×3 convolution without bias to half the channels, then 2×2 pixels become channels: [H, W, C] → [H/2, W/2, 2C]. */
class Downsample extends Module {
  readonly body: readonly Conv2d[];

  constructor(width: number) {
    super();
    this.body = [new Conv2d(width, width / 2, 3, { bias: false })];
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    const y = this.body[0]!.apply(x);
    const [n, height, width, channels] = y.shape as [number, number, number, number];
    const [h, w] = [height / 2, width / 2];
    const split = reshape(y, [n, h, 2, w, 2, channels]);
    // Channel order c·4 + i·2 + j, as PyTorch's PixelUnshuffle.
    return reshape(transpose(split, [0, 1, 3, 5, 2, 4]), [n, h, w, channels * 4]);
  }
}

/** 3×3 convolution without bias to twice the channels, then channels become 2×2 pixels: [H, W, C] → [2H, 2W, C/2]. */
class Upsample extends Module {
  readonly body: readonly Conv2d[];

  constructor(width: number) {
    super();
    this.body = [new Conv2d(width, width * 2, 3, { bias: false })];
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    const y = this.body[0]!.apply(x);
    const [n, height, width, channels] = y.shape as [number, number, number, number];
    const split = reshape(y, [n, height, width, channels / 4, 2, 2]);
    return reshape(transpose(split, [0, 1, 4, 2, 5, 3]), [n, height * 2, width * 2, channels / 4]);
  }
}

/** adaLN and a 3×3 convolution to the output channels. */
class FinalLayer extends Module {
  readonly out_proj: Conv2d;
  readonly adaLN_modulation: Sequential;

  constructor(width: number, outChannels: number) {
    super();
    this.out_proj = new Conv2d(width, outChannels, 3);
    this.adaLN_modulation = adaLNModulation(width, 2);
  }

  forward(x: Tensor<'N H W C'>, c: Tensor<'N C'>): Unlabelled {
    const [shift, scale] = chunk(this.adaLN_modulation.apply(c), 2, -1) as [Unlabelled, Unlabelled];
    return this.out_proj.apply(adaptiveNorm(x, { shift, scale }));
  }
}

/** The 3×3 stem under the key that DiT gives its patch embedding. */
class Stem extends Module {
  readonly proj: Conv2d;

  constructor(inChannels: number, width: number) {
    super();
    this.proj = new Conv2d(inChannels, width, 3);
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    return this.proj.apply(x);
  }
}

// Model

/** U-DiT; see the file's header. Field paths are the official checkpoint's keys, in its order. */
export class UDiT extends Denoiser {
  readonly config: UDiTConfig;
  readonly labelEmbedders = 3;
  readonly initRule = uditInitRule;
  readonly x_embedder: Stem;
  readonly t_embedder_1: TimestepEmbedder;
  readonly y_embedder_1: LabelEmbedder;
  readonly t_embedder_2: TimestepEmbedder;
  readonly y_embedder_2: LabelEmbedder;
  readonly t_embedder_3: TimestepEmbedder;
  readonly y_embedder_3: LabelEmbedder;
  readonly encoder_level_1: readonly UDiTBlock[];
  readonly down1_2: Downsample;
  readonly encoder_level_2: readonly UDiTBlock[];
  readonly down2_3: Downsample;
  readonly latent: readonly UDiTBlock[];
  readonly up3_2: Upsample;
  readonly reduce_chan_level2: PointwiseConv2d;
  readonly decoder_level_2: readonly UDiTBlock[];
  readonly up2_1: Upsample;
  readonly reduce_chan_level1: PointwiseConv2d;
  readonly decoder_level_1: readonly UDiTBlock[];
  readonly output: Conv2d;
  readonly final_layer: FinalLayer;

  constructor(config: UDiTConfig) {
    super();
    checkConfig(config);
    this.config = config;
    const { width, inChannels, numClasses, learnSigma } = config;
    const hasNullLabel = config.classDropoutProb > 0;
    const blocks = (level: number, levelWidth: number): UDiTBlock[] => {
      const trained = dividedBy(trainedSizeOf(config), LEVEL_SCALES[level]!);
      const downFactor = downFactorOf(config, level);
      const levelConfig = { ...config, width: levelWidth, trained, downFactor };
      return Array.from({ length: config.depth[level]! }, () => new UDiTBlock(levelConfig));
    };
    this.x_embedder = new Stem(inChannels, width);
    this.t_embedder_1 = new TimestepEmbedder(width);
    this.y_embedder_1 = new LabelEmbedder(numClasses, width, { hasNullLabel });
    this.t_embedder_2 = new TimestepEmbedder(2 * width);
    this.y_embedder_2 = new LabelEmbedder(numClasses, 2 * width, { hasNullLabel });
    this.t_embedder_3 = new TimestepEmbedder(4 * width);
    this.y_embedder_3 = new LabelEmbedder(numClasses, 4 * width, { hasNullLabel });
    this.encoder_level_1 = blocks(0, width);
    this.down1_2 = new Downsample(width);
    this.encoder_level_2 = blocks(1, 2 * width);
    this.down2_3 = new Downsample(2 * width);
    this.latent = blocks(2, 4 * width);
    this.up3_2 = new Upsample(4 * width);
    this.reduce_chan_level2 = new PointwiseConv2d(4 * width, 2 * width);
    this.decoder_level_2 = blocks(3, 2 * width);
    this.up2_1 = new Upsample(2 * width);
    this.reduce_chan_level1 = new PointwiseConv2d(2 * width, 2 * width);
    this.decoder_level_1 = blocks(4, 2 * width);
    this.output = new Conv2d(2 * width, 2 * width, 3);
    this.final_layer = new FinalLayer(2 * width, learnSigma ? 2 * inChannels : inChannels);
    this.bind();
  }

  stages(size = trainedSizeOf(this.config)): readonly Stage[] {
    const { width, heads, depth } = this.config;
    const mapOf = (scale: number, channels: number): FeatureMap => ({
      ...dividedBy(size, scale),
      channels,
    });
    const level = (name: string, index: number, channels: number, ...transitions: string[]): Stage => ({
      name,
      paths: [...transitions, LEVEL_NAMES[index]!],
      map: mapOf(LEVEL_SCALES[index]!, channels),
      blocks: { count: depth[index]!, heads },
    });
    return [
      { name: 'condition', paths: [1, 2, 3].flatMap((i) => [`t_embedder_${i}`, `y_embedder_${i}`]) },
      { name: 'stem', paths: ['x_embedder'], map: mapOf(1, width) },
      level('encoder 1', 0, width),
      level('encoder 2', 1, 2 * width, 'down1_2'),
      level('bottleneck', 2, 4 * width, 'down2_3'),
      level('decoder 2', 3, 2 * width, 'up3_2', 'reduce_chan_level2'),
      level('decoder 1', 4, 2 * width, 'up2_1', 'reduce_chan_level1'),
      { name: 'output', paths: ['output', 'final_layer'], map: mapOf(1, 2 * width) },
    ];
  }

  forward(
    x: Tensor<'N C H W'>,
    { t, y, dropped, towards }: Condition,
    options: TraceOptions = { form: 'merged' },
  ): Unlabelled {
    expectAxes(x, 'N C H W', { C: this.config.inChannels });
    expectAxes(t, 'N', { N: x.shape[0]! });
    expectAxes(y, 'N', { N: x.shape[0]! });
    expectSize('U-DiT', { height: x.shape[2]!, width: x.shape[3]! }, sizeUnits(this.config));

    // One condition per width. Each embedder hides the class independently (as the reference does).
    const dropOf = (embedder: number): Unlabelled | undefined =>
      dropped && reshape(slice(dropped, 0, embedder, embedder + 1), y.shape);
    const c1 = add(this.t_embedder_1.apply(t), this.y_embedder_1.apply(y, dropOf(0), towards));
    const c2 = add(this.t_embedder_2.apply(t), this.y_embedder_2.apply(y, dropOf(1), towards));
    const c3 = add(this.t_embedder_3.apply(t), this.y_embedder_3.apply(y, dropOf(2), towards));
    const level = (blocks: readonly UDiTBlock[], h: Tensor, c: Unlabelled): Unlabelled =>
      blocks.reduce<Tensor>((z, block) => block.apply(z as Unlabelled, c, options), h) as Unlabelled;

    // Encoder
    const stem = this.x_embedder.apply(transpose(x, [0, 2, 3, 1])); // (N, H, W, C)
    const skip1 = level(this.encoder_level_1, stem, c1);
    const skip2 = level(this.encoder_level_2, this.down1_2.apply(skip1), c2);
    const bottom = level(this.latent, this.down2_3.apply(skip2), c3);

    // Decoder. Level 1 keeps 2·width channels, hence c2.
    const fused2 = this.reduce_chan_level2.apply(concat([this.up3_2.apply(bottom), skip2], -1));
    const up2 = level(this.decoder_level_2, fused2, c2);
    const fused1 = this.reduce_chan_level1.apply(concat([this.up2_1.apply(up2), skip1], -1));
    const up1 = level(this.decoder_level_1, fused1, c2);
    return transpose(this.final_layer.apply(this.output.apply(up1), c2), [0, 3, 1, 2]);
  }
}

/** Initial values as the reference has them: Xavier everywhere, small normal embedders, zeros where adaLN-Zero asks. */
export const uditInitRule: InitRule = (name) => {
  if (name.endsWith('logit_scale')) return filledWith(Math.log(10));
  if (name.endsWith('bias')) return zeros;
  if (/adaLN_modulation|final_layer/.test(name)) return zeros;
  if (/embedding_table|t_embedder/.test(name)) return normalWith(0.02);
  if (name === 'x_embedder.proj.weight') return xavierUniformAsMatrix;
  return xavierUniform;
};
