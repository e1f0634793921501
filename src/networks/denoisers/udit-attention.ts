/**
 * @file Attention on downsampled tokens (section 3.3 of the U-DiT paper), with the variants that it is compared with.
 *
 * N batch · H W map · C channels · G sub-grids · T tokens that attend together · headDim = C / heads
 */
import { dividedBy, type ImageSize } from '../../core/image-size.ts';
import {
  add,
  attention,
  chunk,
  depthwiseConv2d,
  exp,
  l2Normalize,
  minimum,
  mul,
  reshape,
  rotary,
  slice,
} from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { centreTap, DepthwiseConv2d, Linear, PointwiseConv2d } from '../nn/layers.ts';
import { Module, Parameter } from '../nn/module.ts';
import type { TraceOptions } from '../nn/network.ts';
import { type RotaryTables, rotaryTables } from '../nn/rotary.ts';
import { everyNth, fromSubGrids, toSubGrids } from '../nn/sub-grids.ts';

/** What is the same at all levels. */
export interface AttentionOptions {
  /** Heads at every level, so headDim grows with the width. */
  readonly heads: number;
  /**
   * Which tokens are downsampled. qkv: the sub-grids of the map attend apart from each other; kv: all tokens ask, one in
   * `downFactor`² answers for its neighbours; none: full attention, without downsampler, whatever the factor.
   */
  readonly tokens: 'qkv' | 'kv' | 'none';
  /** Kernel of the depthwise convolution before downsampling; pixel-shuffle: none. */
  readonly downsampler: 'dwconv1' | 'dwconv3' | 'dwconv5' | 'pixel-shuffle';
  /** Adds the convolution's input to its output. */
  readonly downShortcut: boolean;
  /** cosine: unit-length queries and keys with a learned temperature; dot: scaled dot product. */
  readonly attention: 'cosine' | 'dot';
  readonly position: 'rope2d' | 'none';
}

export interface AttentionLevel extends AttentionOptions {
  readonly width: number; // C of this level
  readonly trained: ImageSize; // H and W of this level, as it was trained
  /** Side factor by which tokens are downsampled; 1 is full attention. */
  readonly downFactor: number;
}

/** Depthwise convolution with an optional shortcut: what pixels know reaches their neighbours in other sub-grids. */
class Downsampler extends Module {
  readonly layer: DepthwiseConv2d;
  private readonly shortcut: boolean;

  constructor(width: number, kernel: number, { shortcut }: { readonly shortcut: boolean }) {
    super();
    this.layer = new DepthwiseConv2d(width, kernel);
    this.shortcut = shortcut;
  }

  forward(x: Tensor<'N H W C'>, { form }: TraceOptions): Unlabelled {
    if (!this.shortcut) return this.layer.apply(x);
    if (form === 'branches') return add(this.layer.apply(x), x);
    const { weight, bias } = this.layer;
    return depthwiseConv2d(x, add(weight.tensor, centreTap(weight.shape[2]!)), bias.tensor);
  }
}

function downsamplerOf(level: AttentionLevel): Downsampler | undefined {
  const { width, tokens, downsampler, downShortcut } = level;
  if (tokens === 'none' || downsampler === 'pixel-shuffle') return undefined;
  const channels = tokens === 'kv' ? 2 * width : width;
  return new Downsampler(channels, Number(downsampler.slice('dwconv'.length)), { shortcut: downShortcut });
}

/** The learned temperature is at most 100 (Liu et al. 2022, Swin V2), rounded as the reference has it. */
const MAX_LOGIT_SCALE = 4.6052;

/** Queries [B, T, C], and keys and values [B, S, C]. */
interface Projections {
  readonly q: Unlabelled;
  readonly k: Unlabelled;
  readonly v: Unlabelled;
}

export class DownsampledAttention extends Module {
  /** Temperature of cosine attention as a logarithm, one per head. */
  readonly logit_scale: Parameter | undefined;
  readonly to_qkv: Linear;
  readonly to_out: PointwiseConv2d;
  readonly downsampler: Downsampler | undefined;
  private readonly level: AttentionLevel;
  /** Side factor between the map and the sub-grids that attend apart. */
  private readonly splitFactor: number;

  constructor(level: AttentionLevel) {
    super();
    const { width, heads, tokens, downFactor } = level;
    this.level = level;
    this.splitFactor = tokens === 'qkv' ? downFactor : 1;
    this.logit_scale = level.attention === 'cosine' ? new Parameter([heads, 1, 1]) : undefined;
    this.to_qkv = new Linear(width, 3 * width);
    this.to_out = new PointwiseConv2d(width, width);
    this.downsampler = downsamplerOf(level);
  }

  forward(x: Tensor<'N H W C'>, options: TraceOptions): Unlabelled {
    const { heads, width } = this.level;
    const map = { height: x.shape[1]!, width: x.shape[2]! };
    const { q, k, v } = this.project(x, options);
    const tables = this.rotaryTables(map, options);
    // Rotations change no length, so they may come last: there the temperature can join their tables (scaleRotations).
    const y = attention(
      placed(this.queries(q), tables?.ofQueries, heads),
      placed(this.keys(k), tables?.ofKeys, heads),
      v,
      {
        heads,
        scale: this.logit_scale === undefined ? (width / heads) ** -0.5 : 1,
      },
    ); // (N·G, T, C)
    return this.to_out.apply(fromSubGrids(y, this.splitFactor, map));
  }

  private project(x: Tensor<'N H W C'>, options: TraceOptions): Projections {
    const downsampled = (map: Unlabelled) => this.downsampler?.apply(map, options) ?? map;
    if (this.level.tokens !== 'kv') {
      const tokens = toSubGrids(downsampled(x as Unlabelled), this.splitFactor);
      const [q, k, v] = chunk(this.to_qkv.apply(tokens), 3, -1);
      return { q: q!, k: k!, v: v! };
    }
    const { width, downFactor } = this.level;
    const [n, rows, columns] = x.shape as [number, number, number];
    const all = this.to_qkv.apply(x); // (N, H, W, 3·C)
    const answers = everyNth(downsampled(slice(all, -1, width, 3 * width)), downFactor);
    const [k, v] = chunk(answers, 2, -1);
    return { q: reshape(slice(all, -1, 0, width), [n, rows * columns, width]), k: k!, v: v! };
  }

  /** Cosine attention compares directions; the temperature multiplies the queries, which are smaller than the scores. */
  private queries(q: Tensor): Tensor {
    if (this.logit_scale === undefined) return q;
    const temperature = exp(minimum(this.logit_scale.tensor, MAX_LOGIT_SCALE)); // (heads, 1, 1)
    return this.perHead(q, (head) => mul(l2Normalize(head), reshape(temperature, [this.level.heads, 1])));
  }

  private keys(k: Tensor): Tensor {
    return this.logit_scale === undefined ? k : this.perHead(k, (head) => l2Normalize(head));
  }

  /** Positions in the grid of the tokens that attend together; the same for all sub-grids. */
  private rotaryTables(
    map: ImageSize,
    { positionScaling: scaling }: TraceOptions,
  ): Readonly<Record<'ofQueries' | 'ofKeys', RotaryTables>> | undefined {
    const { trained, width: channels, heads, tokens, downFactor, position } = this.level;
    if (position === 'none') return undefined;
    const tablesOf = (factor: number, spacing: number) =>
      rotaryTables(dividedBy(map, factor), channels / heads, {
        spacing,
        trained: dividedBy(trained, factor),
        scaling,
      });
    const ofQueries = tablesOf(this.splitFactor, 1);
    return { ofQueries, ofKeys: tokens === 'kv' ? tablesOf(downFactor, downFactor) : ofQueries };
  }

  /** Applies `transform` to x [B, T, C] seen as [B, T, heads, headDim]. */
  private perHead(x: Tensor, transform: (x: Tensor) => Tensor): Unlabelled {
    const { heads, width } = this.level;
    const [batch, tokens] = x.shape as [number, number, number];
    return reshape(transform(reshape(x, [batch, tokens, heads, width / heads])), x.shape);
  }
}

/** Queries or keys [B, T, C] that know their positions. */
function placed(x: Tensor, tables: RotaryTables | undefined, heads: number): Tensor {
  return tables === undefined ? x : rotary(x, tables.cos, tables.sin, heads);
}
