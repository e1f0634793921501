/**
 * @file DiT-LLaMA and SiT-LLaMA (Chu et al., "VisionLLaMA: A Unified LLaMA Backbone for Vision Tasks", arXiv 2403.00522).
 *
 * DiT with what language models use: two-dimensional rotary positions in every block in place of sine-cosine ones added
 * once, and a gated feed-forward network (SwiGLU) without biases. Layer norms and adaLN-Zero stay DiT's. Checkpoints
 * hold sine-cosine positions all the same, which nothing reads.
 *
 * N batch · H W image · T tokens · D width
 */
import { ConfigError } from '../../core/errors.ts';
import type { ImageSize } from '../../core/image-size.ts';
import { mul, silu } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { adaLNModulation, adaLNZero, LabelEmbedder, TimestepEmbedder } from '../nn/conditioning.ts';
import type { InitRule } from '../nn/initialise.ts';
import { Linear, type Sequential } from '../nn/layers.ts';
import { Module, type Parameter } from '../nn/module.ts';
import type { Stage, TraceOptions } from '../nn/network.ts';
import { PatchEmbedder } from '../nn/patches.ts';
import { rotaryTables } from '../nn/rotary.ts';
import { type Condition, Denoiser } from './denoiser.ts';
import {
  Attention,
  checkPatchConfig,
  type DiTConfig,
  ditInitRule,
  FinalLayer,
  patchStages,
  positionParameter,
  predictByPatches,
  type TokenLayout,
  trainedGrid,
} from './dit.ts';

/** Three matrices in place of two cost the same with two thirds of the hidden channels, which are rounded up. */
export function gatedHiddenWidth(width: number, mlpRatio: number): number {
  return Math.ceil(Math.trunc((2 * mlpRatio * width) / 3) / HIDDEN_UNIT) * HIDDEN_UNIT;
}

const HIDDEN_UNIT = 256;

/** SwiGLU (Shazeer 2020): one half of the hidden channels gates the other. */
class GatedFeedForward extends Module {
  readonly c_fc1: Linear;
  readonly c_fc2: Linear;
  readonly c_proj: Linear;

  constructor({ width, mlpRatio }: DiTConfig) {
    super();
    const hidden = gatedHiddenWidth(width, mlpRatio);
    this.c_fc1 = new Linear(width, hidden, { bias: false });
    this.c_fc2 = new Linear(width, hidden, { bias: false });
    this.c_proj = new Linear(hidden, width, { bias: false });
  }

  forward(x: Tensor<'N T D'>): Unlabelled {
    return this.c_proj.apply(mul(silu(this.c_fc1.apply(x)), this.c_fc2.apply(x)));
  }
}

class LlamaBlock extends Module {
  // In the order of the reference's checkpoints.
  readonly adaLN_modulation: Sequential;
  readonly attn: Attention;
  readonly mlp: GatedFeedForward;

  constructor(config: DiTConfig) {
    super();
    this.adaLN_modulation = adaLNModulation(config.width, 6);
    this.attn = new Attention(config);
    this.mlp = new GatedFeedForward(config);
  }

  forward(x: Tensor<'N T D'>, c: Tensor<'N D'>, layout: TokenLayout, options?: TraceOptions): Unlabelled {
    return adaLNZero(
      x,
      this.adaLN_modulation.apply(c),
      {
        attend: (tokens) => this.attn.apply(tokens, layout),
        feedForward: (tokens) => this.mlp.apply(tokens),
      },
      options,
    );
  }
}

/** @throws ConfigError if channels of a head cannot be shared out in pairs to two axes */
function checkHeads({ width, heads }: DiTConfig): void {
  const unit = 4 * heads;
  if (width % unit === 0) return;
  throw new ConfigError({
    where: 'DiT-LLaMA',
    problem: `width ${width} with ${heads} heads gives ${width / heads} channels per head; rotary positions need a multiple of 4`,
    fix: `use a width that is a multiple of ${unit}, such as ${Math.ceil(width / unit) * unit}`,
  });
}

/** DiT-LLaMA; see the file's header. Field paths are the official checkpoint's keys, in its order. */
export class DiTLlama extends Denoiser {
  readonly config: DiTConfig;
  readonly labelEmbedders = 1;
  readonly initRule: InitRule;
  readonly pos_embed: Parameter;
  readonly x_embedder: PatchEmbedder;
  readonly t_embedder: TimestepEmbedder;
  readonly y_embedder: LabelEmbedder;
  readonly final_layer: FinalLayer;
  readonly blocks: readonly LlamaBlock[];

  constructor(config: DiTConfig) {
    super();
    checkPatchConfig('DiT-LLaMA', config);
    checkHeads(config);
    this.config = config;
    this.initRule = ditInitRule(trainedGrid(config));
    const { width, numClasses } = config;
    this.pos_embed = positionParameter(config);
    this.x_embedder = new PatchEmbedder(config);
    this.t_embedder = new TimestepEmbedder(width);
    this.y_embedder = new LabelEmbedder(numClasses, width, { hasNullLabel: config.classDropoutProb > 0 });
    this.final_layer = new FinalLayer(config);
    this.blocks = Array.from({ length: config.depth }, () => new LlamaBlock(config));
    this.bind();
  }

  stages(size?: ImageSize): readonly Stage[] {
    return patchStages(this.config, size);
  }

  /** Both trace forms are the same here: nothing can be merged. */
  forward(x: Tensor<'N C H W'>, condition: Condition, options?: TraceOptions): Unlabelled {
    const { width, heads } = this.config;
    return predictByPatches('DiT-LLaMA', this, x, condition, options, (tokens, { grid, ...scaled }) => ({
      tokens,
      rotations: rotaryTables(grid, width / heads, scaled),
    }));
  }
}
