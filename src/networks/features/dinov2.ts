/**
 * @file DINOv2's vision transformers (Oquab et al., arXiv 2304.07193), whose class token after the last norm is the feature
 * of FD-DINOv2 (Stein et al., arXiv 2306.04675). Patches become tokens behind a class token. Learned positions of a square
 * grid are interpolated to the grid at hand. Every branch of a block has a learned scale per channel.
 *
 * N batch · H W image · p patch side · T tokens = 1 + (H / p) · (W / p) · D width
 */
import { ConfigError } from '../../core/errors.ts';
import { type ImageSize, squareOf } from '../../core/image-size.ts';
import { expectAxes } from '../../engine/graph/axes.ts';
import {
  add,
  attention,
  broadcastTo,
  chunk,
  concat,
  constantOf,
  gelu,
  mul,
  reshape,
  slice,
  transpose,
} from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { filledWith, type InitRule, normalWith, zeros } from '../nn/initialise.ts';
import { interpolate, PILLOW_BICUBIC, PYTORCH_BICUBIC } from '../nn/interpolation.ts';
import { LayerNorm, Linear } from '../nn/layers.ts';
import { Module, Parameter } from '../nn/module.ts';
import type { NetworkConfig, Stage } from '../nn/network.ts';
import { PatchEmbedder } from '../nn/patches.ts';
import { expectSize } from '../nn/size-units.ts';
import { FeatureNetwork } from './feature-network.ts';

export interface DINOv2Config extends NetworkConfig {
  /** Side to which pictures of any size are brought. */
  readonly inputSize: number;
  readonly patchSize: number;
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  /** Rows and columns of the learned positions. */
  readonly positions: number;
}

const published = (width: number, depth: number, heads: number): DINOv2Config => ({
  ...{ inputSize: 224, inChannels: 3, patchSize: 14, positions: 37 },
  ...{ width, depth, heads },
});

/** Without the giant, whose feed-forward layers are others. */
export const DINOV2_PRESETS: Readonly<Record<string, DINOv2Config>> = {
  'DINOv2-S/14': published(384, 12, 6),
  'DINOv2-B/14': published(768, 12, 12),
  'DINOv2-L/14': published(1024, 24, 16),
};

const EPS = 1e-6;

class Attention extends Module {
  readonly qkv: Linear;
  readonly proj: Linear;
  private readonly heads: number;

  constructor({ width, heads }: DINOv2Config) {
    super();
    this.qkv = new Linear(width, 3 * width);
    this.proj = new Linear(width, width);
    this.heads = heads;
  }

  forward(x: Tensor<'N T D'>, scale: Tensor<'D'>): Unlabelled {
    const { heads } = this;
    const [q, k, v] = chunk(this.qkv.apply(x), 3, -1) as [Unlabelled, Unlabelled, Unlabelled];
    const headDim = x.shape[2]! / heads;
    return this.proj.apply(attention(q, k, v, { heads, scale: headDim ** -0.5 }), scale);
  }
}

class FeedForward extends Module {
  readonly fc1: Linear;
  readonly fc2: Linear;

  constructor({ width }: DINOv2Config) {
    super();
    this.fc1 = new Linear(width, 4 * width);
    this.fc2 = new Linear(4 * width, width);
  }

  forward(x: Tensor<'N T D'>, scale: Tensor<'D'>): Unlabelled {
    return this.fc2.apply(gelu(this.fc1.apply(x), 'none'), scale);
  }
}

/** The scale of a branch, which its last layer takes on. */
class LayerScale extends Module {
  readonly gamma: Parameter;

  constructor(width: number) {
    super();
    this.gamma = new Parameter([width]);
  }

  forward(): Unlabelled {
    return this.gamma.tensor;
  }
}

class Block extends Module {
  readonly norm1: LayerNorm;
  readonly attn: Attention;
  readonly ls1: LayerScale;
  readonly norm2: LayerNorm;
  readonly mlp: FeedForward;
  readonly ls2: LayerScale;

  constructor(config: DINOv2Config) {
    super();
    const { width } = config;
    this.norm1 = new LayerNorm(width, { eps: EPS });
    this.attn = new Attention(config);
    this.ls1 = new LayerScale(width);
    this.norm2 = new LayerNorm(width, { eps: EPS });
    this.mlp = new FeedForward(config);
    this.ls2 = new LayerScale(width);
  }

  forward(x: Tensor<'N T D'>): Unlabelled {
    const attended = add(x, this.attn.apply(this.norm1.apply(x), this.ls1.apply()));
    return add(attended, this.mlp.apply(this.norm2.apply(attended), this.ls2.apply()));
  }
}

/** Mean and deviation of the colours of ImageNet, of pixels in [0, 1]. */
const COLOURS = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] } as const;

/** Pictures in [−1, 1] of any size → the network's input, [N, 3, side, side]. */
class Preprocessing extends Module {
  private readonly side: number;

  constructor(side: number) {
    super();
    this.side = side;
  }

  forward(x: Tensor<'N C H W'>): Unlabelled {
    const { mean, deviation } = COLOURS;
    const perColour = (value: (colour: number) => number) =>
      constantOf(
        [1, 3, 1, 1],
        mean.map((_, i) => value(i)),
      );
    const resized = interpolate(x, [this.side, this.side], PILLOW_BICUBIC);
    return add(
      mul(
        resized,
        perColour((i) => 0.5 / deviation[i]!),
      ),
      perColour((i) => (0.5 - mean[i]!) / deviation[i]!),
    );
  }
}

/** See the file's header. Field paths are the keys of the published checkpoints, whose `mask_token` training alone needs. */
export class DINOv2 extends FeatureNetwork {
  readonly config: DINOv2Config;
  readonly initRule: InitRule = (name) => {
    if (name.endsWith('bias')) return zeros;
    return /norm|gamma/.test(name) ? filledWith(1) : normalWith(0.02);
  };
  readonly cls_token: Parameter;
  readonly pos_embed: Parameter;
  readonly resize: Preprocessing;
  readonly patch_embed: PatchEmbedder;
  readonly blocks: readonly Block[];
  readonly norm: LayerNorm;

  /** @throws ConfigError if heads or patches do not fit */
  constructor(config: DINOv2Config) {
    super();
    const { width, heads, inputSize } = config;
    if (width % heads !== 0) {
      throw new ConfigError({
        where: 'DINOv2',
        problem: `${heads} heads do not divide width ${width}`,
        fix: `use a width such as ${Math.ceil(width / heads) * heads}`,
      });
    }
    this.config = config;
    this.expectPatches(squareOf(inputSize));
    this.cls_token = new Parameter([1, 1, width]);
    this.pos_embed = new Parameter([1, 1 + config.positions ** 2, width]);
    this.resize = new Preprocessing(inputSize);
    this.patch_embed = new PatchEmbedder(config);
    this.blocks = Array.from({ length: config.depth }, () => new Block(config));
    this.norm = new LayerNorm(width, { eps: EPS });
    this.bind();
  }

  stages(): readonly Stage[] {
    const { inputSize, patchSize, width: channels, depth: count, heads } = this.config;
    const side = inputSize / patchSize;
    const map = { height: side, width: side, channels };
    return [
      { name: 'resize', paths: ['resize'], map: { height: inputSize, width: inputSize, channels: 3 } },
      { name: 'patches', paths: ['patch_embed', 'cls_token', 'pos_embed'], map },
      { name: 'blocks', paths: ['blocks'], map, blocks: { count, heads } },
      { name: 'class token', paths: ['norm'] },
    ];
  }

  /** The class token of pictures [N, 3, H, W] in [−1, 1]. */
  forward(x: Tensor<'N C H W'>): Unlabelled {
    expectAxes(x, 'N C H W', { C: 3 });
    return this.tokensOf(this.resize.apply(x)).classToken;
  }

  /** The normalised tokens of what preprocessing gives; sides are multiples of the patch size. */
  tokensOf(x: Tensor<'N C H W'>): { readonly classToken: Unlabelled; readonly patchTokens: Unlabelled } {
    const [batch, , height, width] = x.shape as [number, number, number, number];
    const { patchSize, width: channels } = this.config;
    this.expectPatches({ height, width });
    const patches = this.patch_embed.apply(x);
    const classToken = broadcastTo(this.cls_token.tensor, [batch, 1, channels]);
    const grid = { height: height / patchSize, width: width / patchSize };
    const placed = add(concat([classToken, patches], 1), this.positionsOf(grid));
    const tokens = this.blocks.reduce<Unlabelled>((h, block) => block.apply(h), placed);
    const count = tokens.shape[1]!;
    const token = this.norm.apply(slice(tokens, 1, 0, 1));
    return {
      classToken: reshape(token, [batch, channels]),
      patchTokens: this.norm.apply(slice(tokens, 1, 1, count)),
    };
  }

  /**
   * Positions [1, T, D] of a grid: the learned ones, interpolated. The published code adds 0.1 to each side of the grid in
   * the scale, against rounding, and the features were published with it.
   */
  private positionsOf({ height, width }: ImageSize): Unlabelled {
    const { positions: side, width: channels } = this.config;
    const all = this.pos_embed.tensor;
    if (height === side && width === side) return all;
    const grid = transpose(
      reshape(slice(all, 1, 1, 1 + side * side), [1, side, side, channels]),
      [0, 3, 1, 2],
    );
    const scales = [side / (height + 0.1), side / (width + 0.1)] as const;
    const resized = transpose(interpolate(grid, [height, width], PYTORCH_BICUBIC, scales), [0, 2, 3, 1]);
    return concat([slice(all, 1, 0, 1), reshape(resized, [1, height * width, channels])], 1);
  }

  private expectPatches(size: ImageSize): void {
    expectSize('DINOv2', size, [{ unit: this.config.patchSize, because: 'the patch size' }]);
  }
}
