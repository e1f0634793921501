/**
 * @file AutoencoderKL: the variational autoencoder of latent diffusion (Rombach et al., arXiv 2112.10752, appendix G.1),
 * with the names of diffusers' checkpoints.
 *
 * Encoder and decoder are stacks of residual blocks with group norm. Each level of the encoder but the last halves the
 * sides; the decoder mirrors it, with one block more per level. Pixels of the smallest map attend to each other. Pictures
 * are in [−1, 1].
 *
 * N batch · H W sides of a map · C channels · Z channels of a latent
 */
import { ConfigError } from '../../core/errors.ts';
import { dividedBy, type ImageSize } from '../../core/image-size.ts';
import { expectAxes } from '../../engine/graph/axes.ts';
import {
  add,
  attention,
  chunk,
  reshape,
  resizeNearest,
  silu,
  transpose,
} from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { pytorchDefaults } from '../nn/initialise.ts';
import { Conv2d, GroupNorm, Linear } from '../nn/layers.ts';
import { Module } from '../nn/module.ts';
import { type Stage, trainedSizeOf } from '../nn/network.ts';
import { expectSize } from '../nn/size-units.ts';
import { Autoencoder, type AutoencoderConfig } from './autoencoder.ts';
import { boundedLogVariance, type LatentDistribution } from './latent-distribution.ts';

// Configuration

export interface AutoencoderKLConfig extends AutoencoderConfig {
  /** Channels of each level of the encoder; the decoder has them in reverse. */
  readonly levelChannels: readonly number[];
  /** Residual blocks per level of the encoder; the decoder has one more. */
  readonly layersPerLevel: number;
  readonly normGroups: number;
  /** Attention among the pixels of the smallest map. */
  readonly midAttention: boolean;
  /** A 1×1 convolution after the encoder and another before the decoder. */
  readonly quantConv: boolean;
}

const EPS = 1e-6;

// Parts

/** x + conv(SiLU(norm(conv(SiLU(norm(x)))))); x through a 1×1 convolution where the channels change. */
class ResidualBlock extends Module {
  readonly norm1: GroupNorm;
  readonly conv1: Conv2d;
  readonly norm2: GroupNorm;
  readonly conv2: Conv2d;
  readonly conv_shortcut: Conv2d | undefined;

  constructor(groups: number, inputs: number, outputs: number) {
    super();
    this.norm1 = new GroupNorm(groups, inputs, { eps: EPS });
    this.conv1 = new Conv2d(inputs, outputs, 3);
    this.norm2 = new GroupNorm(groups, outputs, { eps: EPS });
    this.conv2 = new Conv2d(outputs, outputs, 3);
    this.conv_shortcut = inputs === outputs ? undefined : new Conv2d(inputs, outputs, 1);
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    const hidden = this.conv1.apply(silu(this.norm1.apply(x)));
    const change = this.conv2.apply(silu(this.norm2.apply(hidden)));
    return add(this.conv_shortcut?.apply(x) ?? x, change);
  }
}

/** x + attention among all pixels of its norm, with one head of all channels. */
class PixelAttention extends Module {
  readonly group_norm: GroupNorm;
  readonly to_q: Linear;
  readonly to_k: Linear;
  readonly to_v: Linear;
  readonly to_out: readonly [Linear];

  constructor(groups: number, channels: number) {
    super();
    this.group_norm = new GroupNorm(groups, channels, { eps: EPS });
    this.to_q = new Linear(channels, channels);
    this.to_k = new Linear(channels, channels);
    this.to_v = new Linear(channels, channels);
    this.to_out = [new Linear(channels, channels)];
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    const [batch, height, width, channels] = x.shape as [number, number, number, number];
    const tokens = reshape(this.group_norm.apply(x), [batch, height * width, channels]);
    const [q, k, v] = [this.to_q.apply(tokens), this.to_k.apply(tokens), this.to_v.apply(tokens)];
    const mixed = attention(q, k, v, { heads: 1, scale: channels ** -0.5 });
    return add(x, reshape(this.to_out[0].apply(mixed), x.shape));
  }
}

/** The part at the smallest map: a block, attention, a block. */
class MidBlock extends Module {
  readonly attentions: readonly PixelAttention[];
  readonly resnets: readonly ResidualBlock[];

  constructor({ normGroups, midAttention }: AutoencoderKLConfig, channels: number) {
    super();
    this.attentions = midAttention ? [new PixelAttention(normGroups, channels)] : [];
    this.resnets = [0, 1].map(() => new ResidualBlock(normGroups, channels, channels));
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    const [first, second] = this.resnets as [ResidualBlock, ResidualBlock];
    const hidden = first.apply(x);
    return second.apply(this.attentions[0]?.apply(hidden) ?? hidden);
  }
}

/** 3×3 with stride 2, padded below and on the right alone. */
class Downsampler extends Module {
  readonly conv: Conv2d;

  constructor(channels: number) {
    super();
    this.conv = new Conv2d(channels, channels, 3, { stride: 2, padding: { before: [0, 0], after: [1, 1] } });
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    return this.conv.apply(x);
  }
}

/** Doubles the sides by repeating pixels, then 3×3. */
class Upsampler extends Module {
  readonly conv: Conv2d;

  constructor(channels: number) {
    super();
    this.conv = new Conv2d(channels, channels, 3);
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    return this.conv.apply(resizeNearest(x, 2));
  }
}

function residualBlocks(groups: number, count: number, inputs: number, outputs: number): ResidualBlock[] {
  return Array.from(
    { length: count },
    (_, i) => new ResidualBlock(groups, i === 0 ? inputs : outputs, outputs),
  );
}

const throughAll = (x: Unlabelled, modules: readonly (ResidualBlock | Downsampler | Upsampler)[]) =>
  modules.reduce((h, module) => module.apply(h), x);

class DownBlock extends Module {
  readonly resnets: readonly ResidualBlock[];
  readonly downsamplers: readonly Downsampler[];

  constructor(resnets: readonly ResidualBlock[], downsamplers: readonly Downsampler[]) {
    super();
    this.resnets = resnets;
    this.downsamplers = downsamplers;
  }

  forward(x: Unlabelled): Unlabelled {
    return throughAll(x, [...this.resnets, ...this.downsamplers]);
  }
}

class UpBlock extends Module {
  readonly resnets: readonly ResidualBlock[];
  readonly upsamplers: readonly Upsampler[];

  constructor(resnets: readonly ResidualBlock[], upsamplers: readonly Upsampler[]) {
    super();
    this.resnets = resnets;
    this.upsamplers = upsamplers;
  }

  forward(x: Unlabelled): Unlabelled {
    return throughAll(x, [...this.resnets, ...this.upsamplers]);
  }
}

/** Pictures [N, H, W, C] → mean and log-variance, [N, H / factor, W / factor, 2·Z]. */
class Encoder extends Module {
  readonly conv_in: Conv2d;
  readonly down_blocks: readonly DownBlock[];
  readonly mid_block: MidBlock;
  readonly conv_norm_out: GroupNorm;
  readonly conv_out: Conv2d;

  constructor(config: AutoencoderKLConfig) {
    super();
    const { inChannels, latentChannels, levelChannels, layersPerLevel, normGroups } = config;
    const [first, last] = [levelChannels[0]!, levelChannels.at(-1)!];
    this.conv_in = new Conv2d(inChannels, first, 3);
    this.down_blocks = levelChannels.map((channels, level) => {
      const inputs = levelChannels[level - 1] ?? first;
      const isLast = level === levelChannels.length - 1;
      return new DownBlock(
        residualBlocks(normGroups, layersPerLevel, inputs, channels),
        isLast ? [] : [new Downsampler(channels)],
      );
    });
    this.mid_block = new MidBlock(config, last);
    this.conv_norm_out = new GroupNorm(normGroups, last, { eps: EPS });
    this.conv_out = new Conv2d(last, 2 * latentChannels, 3);
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    const levels = this.down_blocks.reduce((h, block) => block.apply(h), this.conv_in.apply(x));
    return this.conv_out.apply(silu(this.conv_norm_out.apply(this.mid_block.apply(levels))));
  }
}

/** Latents [N, H / factor, W / factor, Z] → pictures [N, H, W, C]. */
class Decoder extends Module {
  readonly conv_in: Conv2d;
  readonly up_blocks: readonly UpBlock[];
  readonly mid_block: MidBlock;
  readonly conv_norm_out: GroupNorm;
  readonly conv_out: Conv2d;

  constructor(config: AutoencoderKLConfig) {
    super();
    const { inChannels, latentChannels, layersPerLevel, normGroups } = config;
    const levelChannels = config.levelChannels.toReversed();
    const [first, last] = [levelChannels[0]!, levelChannels.at(-1)!];
    this.conv_in = new Conv2d(latentChannels, first, 3);
    this.up_blocks = levelChannels.map((channels, level) => {
      const inputs = levelChannels[level - 1] ?? first;
      const isLast = level === levelChannels.length - 1;
      return new UpBlock(
        residualBlocks(normGroups, layersPerLevel + 1, inputs, channels),
        isLast ? [] : [new Upsampler(channels)],
      );
    });
    this.mid_block = new MidBlock(config, first);
    this.conv_norm_out = new GroupNorm(normGroups, last, { eps: EPS });
    this.conv_out = new Conv2d(last, inChannels, 3);
  }

  forward(z: Tensor<'N H W C'>): Unlabelled {
    const levels = this.up_blocks.reduce(
      (h, block) => block.apply(h),
      this.mid_block.apply(this.conv_in.apply(z)),
    );
    return this.conv_out.apply(silu(this.conv_norm_out.apply(levels)));
  }
}

// Model

/** AutoencoderKL; see the file's header. Field paths are the keys of diffusers' checkpoints, in their order. */
export class AutoencoderKL extends Autoencoder {
  readonly config: AutoencoderKLConfig;
  readonly initRule = pytorchDefaults(this);
  readonly encoder: Encoder;
  readonly decoder: Decoder;
  readonly quant_conv: Conv2d | undefined;
  readonly post_quant_conv: Conv2d | undefined;

  constructor(config: AutoencoderKLConfig) {
    super();
    checkConfig(config);
    this.config = config;
    const { latentChannels, quantConv } = config;
    this.encoder = new Encoder(config);
    this.decoder = new Decoder(config);
    this.quant_conv = quantConv ? new Conv2d(2 * latentChannels, 2 * latentChannels, 1) : undefined;
    this.post_quant_conv = quantConv ? new Conv2d(latentChannels, latentChannels, 1) : undefined;
    this.bind();
  }

  stages(size: ImageSize = trainedSizeOf(this.config)): readonly Stage[] {
    const { levelChannels } = this.config;
    const last = levelChannels.length - 1;
    const mapOf = (level: number) => ({ ...dividedBy(size, 2 ** level), channels: levelChannels[level]! });
    const encoder = levelChannels.map((_, level) => ({
      name: `encoder ${level + 1}`,
      paths: [
        ...(level === 0 ? ['encoder.conv_in'] : []),
        `encoder.down_blocks.${level}`,
        ...(level === last
          ? ['encoder.mid_block', 'encoder.conv_norm_out', 'encoder.conv_out', 'quant_conv']
          : []),
      ],
      map: mapOf(level),
    }));
    const decoder = levelChannels.map((_, i) => ({
      name: `decoder ${last - i + 1}`,
      paths: [
        ...(i === 0 ? ['post_quant_conv', 'decoder.conv_in', 'decoder.mid_block'] : []),
        `decoder.up_blocks.${i}`,
        ...(i === last ? ['decoder.conv_norm_out', 'decoder.conv_out'] : []),
      ],
      map: mapOf(last - i),
    }));
    return [...encoder, ...decoder];
  }

  encode(x: Tensor<'N C H W'>): Unlabelled {
    return this.distribution(x).mean;
  }

  override distribution(x: Tensor<'N C H W'>): Required<LatentDistribution> {
    const { inChannels, factor } = this.config;
    expectAxes(x, 'N C H W', { C: inChannels });
    const unit = { unit: factor, because: 'the factor between pictures and latents' };
    expectSize('AutoencoderKL', { height: x.shape[2]!, width: x.shape[3]! }, [unit]);
    const encoded = this.encoder.apply(transpose(x, [0, 2, 3, 1]));
    const moments = transpose(this.quant_conv?.apply(encoded) ?? encoded, [0, 3, 1, 2]); // (N, 2·Z, H, W)
    const [mean, logVariance] = chunk(moments, 2, 1) as [Unlabelled, Unlabelled];
    return { mean, logVariance: boundedLogVariance(logVariance) };
  }

  decode(z: Tensor<'N Z H W'>): Unlabelled {
    expectAxes(z, 'N Z H W', { Z: this.config.latentChannels });
    const latents = transpose(z, [0, 2, 3, 1]);
    const decoded = this.decoder.apply(this.post_quant_conv?.apply(latents) ?? latents);
    return transpose(decoded, [0, 3, 1, 2]);
  }
}

/** @throws ConfigError where the factor is not that of the levels */
function checkConfig({ levelChannels, factor }: AutoencoderKLConfig): void {
  if (levelChannels.length > 0 && factor === 2 ** (levelChannels.length - 1)) return;
  throw new ConfigError({
    where: 'AutoencoderKL',
    problem: `${levelChannels.length} levels divide the sides by ${2 ** Math.max(0, levelChannels.length - 1)}, but the factor is ${factor}`,
    fix: 'use levels whose number is 1 + log₂ of the factor, such as 4 for 8',
  });
}
