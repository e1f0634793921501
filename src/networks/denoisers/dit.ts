/**
 * @file DiT (Peebles & Xie, "Scalable Diffusion Models with Transformers", arXiv 2212.09748), with adaLN-Zero.
 *
 * A plain transformer over the patches of a latent or a small image: p×p patches become tokens, sine-cosine positions
 * are added once, every block has the same width, and a linear layer turns tokens back into patches. It is what U-DiT
 * is compared with. SiT (Ma et al., arXiv 2401.08740) is the same network trained with a flow; its last layer has
 * channels for a variance that nobody reads.
 *
 * N batch · H W image · p patch side · T tokens = (H / p) · (W / p) · D width · C channels
 */
import { ConfigError } from '../../core/errors.ts';
import { tensorOf } from '../../core/host-tensor.ts';
import { dividedBy, type ImageSize, sameSize } from '../../core/image-size.ts';
import { expectAxes } from '../../engine/graph/axes.ts';
import {
  add,
  attention,
  chunk,
  constant,
  reshape,
  rotary,
  slice,
  transpose,
} from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import {
  adaLNModulation,
  adaLNZero,
  adaptiveNorm,
  LabelEmbedder,
  TimestepEmbedder,
} from '../nn/conditioning.ts';
import { type InitRule, normalWith, xavierUniform, xavierUniformAsMatrix, zeros } from '../nn/initialise.ts';
import { Linear, Mlp, type Sequential } from '../nn/layers.ts';
import { Module, Parameter } from '../nn/module.ts';
import { type Stage, type TraceOptions, trainedSizeOf } from '../nn/network.ts';
import { PatchEmbedder } from '../nn/patches.ts';
import { sinCosPositions } from '../nn/position.ts';
import type { ScaledPositions } from '../nn/position-scaling.ts';
import type { RotaryTables } from '../nn/rotary.ts';
import { expectSize, leastCommonMultiple, type SizeUnit } from '../nn/size-units.ts';
import { everyNth, fromSubGrids, toSubGrids } from '../nn/sub-grids.ts';
import { type Condition, Denoiser, type DenoiserConfig } from './denoiser.ts';

// Configuration

export interface DiTConfig extends DenoiserConfig {
  /** Side of the square patches that become tokens. */
  readonly patchSize: 2 | 4 | 8;
  /** Channels of every token. */
  readonly width: number;
  /** Number of blocks. */
  readonly depth: number;
  readonly heads: number;
  /** Hidden channels of the MLP / width. */
  readonly mlpRatio: number;
  /** The last layer has channels for a variance that the prediction leaves out (SiT). */
  readonly discardSigma: boolean;
  /**
   * Which tokens attention downsamples; no parameter depends on it, so a trained model can draw with any. none: full
   * attention, as in the papers. kv: all tokens ask, one in `downFactor`² answers (ToDo, Smith et al., arXiv 2402.13573).
   * qkv: interleaved sub-grids attend apart from each other, which is U-DiT's without its convolution.
   */
  readonly tokens: 'qkv' | 'kv' | 'none';
  /** Side factor by which tokens are downsampled, unless `tokens` is none. */
  readonly downFactor: number;
}

/** As the papers have it; the factor is for whoever asks for fewer tokens. */
export const FULL_ATTENTION = { tokens: 'none', downFactor: 2 } as const;

/**
 * @param family - the model's, for the error
 * @throws ConfigError for the first combination that cannot work
 */
export function checkPatchConfig(family: string, config: DiTConfig): void {
  const { width, heads } = config;
  const fail = (problem: string, fix: string) => new ConfigError({ where: family, problem, fix });
  if (config.learnSigma && config.discardSigma) {
    throw fail(
      'the variance cannot be both learned (learnSigma true) and discarded (discardSigma true)',
      'set discardSigma to false, or use an objective that learns no variance',
    );
  }
  expectSize(family, trainedSizeOf(config), sizeUnits(config));
  const unit = leastCommonMultiple(4, heads);
  const fix = `use a width that is a multiple of ${unit}, such as ${Math.ceil(width / unit) * unit}`;
  if (width % 4 !== 0) {
    throw fail(`width ${width} is not a multiple of 4, which sine-cosine positions need`, fix);
  }
  if (width % heads !== 0) throw fail(`${heads} heads do not divide width ${width}`, fix);
}

function sizeUnits({ patchSize, tokens, downFactor }: DiTConfig): SizeUnit[] {
  const patches = { unit: patchSize, because: 'the patch size', orElse: 'another patch size' };
  if (tokens === 'none') return [patches];
  const unit = patchSize * downFactor;
  return [
    patches,
    {
      unit,
      because: `patch size ${patchSize} times down factor ${downFactor}`,
      orElse: 'another down factor',
    },
  ];
}

/** Rows and columns of tokens of images of this size. */
export function tokenGrid({ patchSize }: DiTConfig, size: ImageSize): ImageSize {
  return dividedBy(size, patchSize);
}

/** The same of the images that it was trained on: positions of these tokens are in its checkpoints. */
export function trainedGrid(config: DiTConfig): ImageSize {
  return tokenGrid(config, trainedSizeOf(config));
}

// Patches

/** Tokens [N, T, p·p·C] of a grid, channels innermost, → images [N, C, H, W]. */
export function unpatchify(
  tokens: Tensor<'N T PPC'>,
  patchSize: number,
  { height, width }: ImageSize,
): Unlabelled {
  const [n, , values] = tokens.shape as [number, number, number];
  const channels = values / (patchSize * patchSize);
  const split = reshape(tokens, [n, height, width, patchSize, patchSize, channels]);
  return reshape(transpose(split, [0, 5, 1, 3, 2, 4]), [n, channels, height * patchSize, width * patchSize]);
}

// Blocks

/** How the tokens of a trace lie. */
export interface TokenLayout {
  readonly grid: ImageSize;
  /** Rotations of queries and keys by their positions, where the family has them. */
  readonly rotations?: RotaryTables;
}

/** Multi-head self-attention. */
export class Attention extends Module {
  readonly qkv: Linear;
  readonly proj: Linear;
  private readonly config: DiTConfig;

  constructor(config: DiTConfig) {
    super();
    this.qkv = new Linear(config.width, 3 * config.width);
    this.proj = new Linear(config.width, config.width);
    this.config = config;
  }

  forward(x: Tensor<'N T D'>, { grid, rotations }: TokenLayout): Unlabelled {
    const { heads, width, tokens, downFactor } = this.config;
    let [q, k, v] = chunk(this.qkv.apply(x), 3, -1) as [Unlabelled, Unlabelled, Unlabelled];
    if (rotations !== undefined) {
      const { cos, sin } = rotations;
      q = rotary(q, cos, sin, heads);
      k = rotary(k, cos, sin, heads);
    }
    // After positions are in, so that a token keeps its own whatever else it sees.
    const attend = (...[ask, answer, value]: readonly [Unlabelled, Unlabelled, Unlabelled]) =>
      attention(ask, answer, value, { heads, scale: (width / heads) ** -0.5 });
    if (tokens === 'none') return this.proj.apply(attend(q, k, v));
    if (tokens === 'kv') {
      return this.proj.apply(
        attend(q, everyNth(asMap(k, grid), downFactor), everyNth(asMap(v, grid), downFactor)),
      );
    }
    const parts = [q, k, v].map((all) => toSubGrids(asMap(all, grid), downFactor));
    const y = attend(...(parts as unknown as [Unlabelled, Unlabelled, Unlabelled]));
    return this.proj.apply(reshape(fromSubGrids(y, downFactor, grid), x.shape));
  }
}

/** Tokens [N, T, D] as the map [N, H, W, D] that they were cut from. */
function asMap(tokens: Tensor<'N T D'>, { height, width }: ImageSize): Unlabelled {
  const [n, , channels] = tokens.shape as [number, number, number];
  return reshape(tokens, [n, height, width, channels]);
}

/** Attention and MLP, each with a shift, scale and gate from the condition (adaLN-Zero). */
class DiTBlock extends Module {
  readonly attn: Attention;
  readonly mlp: Mlp;
  readonly adaLN_modulation: Sequential;

  constructor(config: DiTConfig) {
    super();
    const { width, mlpRatio } = config;
    this.attn = new Attention(config);
    this.mlp = new Mlp(Linear, width, width * mlpRatio, 'tanh');
    this.adaLN_modulation = adaLNModulation(width, 6);
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

/** adaLN and a linear layer to the pixels of each patch, [N, T, D] → [N, T, p·p·C]. */
export class FinalLayer extends Module {
  readonly linear: Linear;
  readonly adaLN_modulation: Sequential;

  constructor({ width, patchSize, inChannels, learnSigma, discardSigma }: DiTConfig) {
    super();
    const outChannels = learnSigma || discardSigma ? 2 * inChannels : inChannels;
    this.linear = new Linear(width, patchSize * patchSize * outChannels);
    this.adaLN_modulation = adaLNModulation(width, 2);
  }

  forward(x: Tensor<'N T D'>, c: Tensor<'N D'>): Unlabelled {
    const [shift, scale] = chunk(this.adaLN_modulation.apply(c), 2, -1) as [Unlabelled, Unlabelled];
    return this.linear.apply(adaptiveNorm(x, { shift, scale }));
  }
}

// Model

/** DiT; see the file's header. Field paths are the official checkpoint's keys, in its order. */
export class DiT extends Denoiser {
  readonly config: DiTConfig;
  readonly labelEmbedders = 1;
  readonly initRule: InitRule;
  /** Sine-cosine positions, (1, T, D): stored in most checkpoints, never trained. */
  readonly pos_embed: Parameter;
  readonly x_embedder: PatchEmbedder;
  readonly t_embedder: TimestepEmbedder;
  readonly y_embedder: LabelEmbedder;
  readonly blocks: readonly DiTBlock[];
  readonly final_layer: FinalLayer;

  constructor(config: DiTConfig) {
    super();
    checkPatchConfig('DiT', config);
    this.config = config;
    this.initRule = ditInitRule(trainedGrid(config));
    const { width, numClasses } = config;
    this.pos_embed = positionParameter(config);
    this.x_embedder = new PatchEmbedder(config);
    this.t_embedder = new TimestepEmbedder(width);
    this.y_embedder = new LabelEmbedder(numClasses, width, { hasNullLabel: config.classDropoutProb > 0 });
    this.blocks = Array.from({ length: config.depth }, () => new DiTBlock(config));
    this.final_layer = new FinalLayer(config);
    this.bind();
  }

  stages(size?: ImageSize): readonly Stage[] {
    return patchStages(this.config, size);
  }

  /** Both trace forms are the same here: nothing can be merged. */
  forward(x: Tensor<'N C H W'>, condition: Condition, options?: TraceOptions): Unlabelled {
    return predictByPatches('DiT', this, x, condition, options, (tokens, positions) => ({
      tokens: add(tokens, this.positionsOf(positions)),
    }));
  }

  /** At the trained size as the checkpoint has them, else computed. */
  private positionsOf({ grid, trained, scaling }: GridPositions): Unlabelled {
    if (sameSize(grid, trained)) return this.pos_embed.tensor;
    const { width } = this.config;
    const values = sinCosPositions(grid, width, { trained, scaling });
    return constant(tensorOf('f32', [1, grid.height * grid.width, width], values));
  }
}

/** Sine-cosine positions of all tokens. */
export function positionParameter(config: DiTConfig): Parameter {
  const { height, width } = trainedGrid(config);
  return new Parameter([1, height * width, config.width], { computed: true });
}

/** Tokens, condition and layout → tokens. */
type TokenBlock = Module & {
  forward(x: Tensor<'N T D'>, c: Tensor<'N D'>, layout: TokenLayout, options?: TraceOptions): Unlabelled;
};

/** What a transformer over patches consists of. */
interface PatchTransformer {
  readonly config: DiTConfig;
  readonly x_embedder: PatchEmbedder;
  readonly t_embedder: TimestepEmbedder;
  readonly y_embedder: LabelEmbedder;
  readonly blocks: readonly TokenBlock[];
  readonly final_layer: FinalLayer;
}

/** The tokens of a trace, and those that the network was trained with. */
export interface GridPositions extends Required<ScaledPositions> {
  readonly grid: ImageSize;
  readonly trained: ImageSize;
}

/** Tells tokens where they are: by what is added to them, or by rotations for attention. */
type Place = (
  tokens: Unlabelled,
  positions: GridPositions,
) => { readonly tokens: Unlabelled; readonly rotations?: RotaryTables };

/** The way from images to prediction: patches become tokens, blocks work on them, tokens become patches. */
export function predictByPatches(
  family: string,
  model: PatchTransformer,
  x: Tensor<'N C H W'>,
  { t, y, dropped, towards }: Condition,
  options: TraceOptions | undefined,
  place: Place,
): Unlabelled {
  const { config } = model;
  const { inChannels, patchSize, discardSigma } = config;
  expectAxes(x, 'N C H W', { C: inChannels });
  expectAxes(t, 'N', { N: x.shape[0]! });
  expectAxes(y, 'N', { N: x.shape[0]! });
  const size = { height: x.shape[2]!, width: x.shape[3]! };
  expectSize(family, size, sizeUnits(config));

  const droppedHere = dropped && reshape(slice(dropped, 0, 0, 1), y.shape);
  const c = add(model.t_embedder.apply(t), model.y_embedder.apply(y, droppedHere, towards));
  const grid = tokenGrid(config, size);
  const { tokens: placed, ...rotations } = place(model.x_embedder.apply(x), {
    grid,
    trained: trainedGrid(config),
    scaling: options?.positionScaling,
  });
  const layout = { grid, ...rotations };
  const tokens = model.blocks.reduce<Unlabelled>((h, block) => block.apply(h, c, layout, options), placed);
  const prediction = unpatchify(model.final_layer.apply(tokens, c), patchSize, grid);
  return discardSigma ? slice(prediction, 1, 0, inChannels) : prediction;
}

export function patchStages(config: DiTConfig, size = trainedSizeOf(config)): readonly Stage[] {
  const { width: channels, depth: count, heads } = config;
  const map = { ...tokenGrid(config, size), channels };
  return [
    { name: 'condition', paths: ['t_embedder', 'y_embedder'] },
    { name: 'patches', paths: ['x_embedder', 'pos_embed'], map },
    { name: 'blocks', paths: ['blocks'], map, blocks: { count, heads } },
    { name: 'output', paths: ['final_layer'], map },
  ];
}

/**
 * Initial values as the reference has them: Xavier everywhere, small normal embedders, zeros where adaLN-Zero asks.
 *
 * @param grid - rows and columns of the tokens that have positions
 */
export function ditInitRule(grid: ImageSize): InitRule {
  return (name, shape) => {
    if (name === 'pos_embed') return () => sinCosPositions(grid, shape.at(-1)!);
    if (name.endsWith('bias')) return zeros;
    if (/adaLN_modulation|final_layer/.test(name)) return zeros;
    if (/embedding_table|t_embedder/.test(name)) return normalWith(0.02);
    if (name === 'x_embedder.proj.weight') return xavierUniformAsMatrix;
    return xavierUniform;
  };
}
