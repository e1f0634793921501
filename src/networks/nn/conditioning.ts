/** @file What tells a diffusion transformer the time and the class: embedders and adaptive layer norm (adaLN). */
import { BYTES_PER_ELEMENT } from '../../core/dtype.ts';
import { scalar, tensorOf, zeros } from '../../core/host-tensor.ts';
import { sizeOf } from '../../core/shape.ts';
import {
  add,
  chunk,
  concat,
  constant,
  cos,
  layerNorm,
  mul,
  reshape,
  sin,
  slice,
  sub,
  takeRows,
  where,
} from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { Linear, Sequential, SiLU } from './layers.ts';
import { Module, Parameter } from './module.ts';

/** Features of a time step before its MLP. */
const FREQUENCIES = 256;
const MAX_PERIOD = 10_000;
/** Layer norms of all families, without affine parameters. */
const LAYER_NORM_EPS = 1e-6;

/** [cos | sin] of t times geometrically falling frequencies (Ho et al. 2020), [N] → [N, dim]; an odd dim ends in 0. */
export function timestepEmbedding(t: Tensor<'N'>, dim: number): Unlabelled {
  const half = Math.floor(dim / 2);
  // Rounded as float32 arithmetic does it, since t · frequency amplifies the difference up to a thousandfold.
  const step = Math.fround(-Math.log(MAX_PERIOD));
  const frequencies = Array.from({ length: half }, (_, i) =>
    Math.exp(Math.fround(Math.fround(step * i) / half)),
  );
  const angles = mul(reshape(t, [t.shape[0]!, 1]), constant(tensorOf('f32', [1, half], frequencies)));
  const parts: Tensor[] = [cos(angles), sin(angles)];
  if (dim % 2 === 1) parts.push(constant(zeros('f32', [t.shape[0]!, 1])));
  return concat(parts, 1);
}

/** Time → vector of the model's width. */
export class TimestepEmbedder extends Module {
  readonly mlp: Sequential;

  constructor(width: number) {
    super();
    this.mlp = new Sequential(new Linear(FREQUENCIES, width), new SiLU(), new Linear(width, width));
  }

  forward(t: Tensor<'N'>): Unlabelled {
    return this.mlp.apply(timestepEmbedding(t, FREQUENCIES));
  }
}

/** A plain lookup table, [rows, width]. */
class Embedding extends Module {
  readonly weight: Parameter;

  constructor(rows: number, width: number) {
    super();
    this.weight = new Parameter([rows, width]);
  }

  forward(indices: Tensor): Unlabelled {
    return takeRows(this.weight.tensor, indices);
  }
}

/** A second class for each sample, and how far its embedding is on the way there. */
export interface ClassMix {
  /** Classes, int64 [N]. */
  readonly y: Tensor<'N'>;
  /** Float32 [N]: 0 is the first class, 1 this one. */
  readonly weight: Tensor<'N'>;
}

/** Class → vector. With class dropout the table has one more row, the null label, that stands for "any class". */
export class LabelEmbedder extends Module {
  readonly embedding_table: Embedding;
  private readonly numClasses: number;

  constructor(numClasses: number, width: number, { hasNullLabel }: { readonly hasNullLabel: boolean }) {
    super();
    this.embedding_table = new Embedding(numClasses + (hasNullLabel ? 1 : 0), width);
    this.numClasses = numClasses;
  }

  /**
   * @param y - classes, int64; `numClasses` is the null label
   * @param dropped - samples whose class is replaced by the null label (training)
   * @param towards - mixes a second class in: (1 − weight) · embedding of y + weight · embedding of that class
   */
  forward(y: Tensor<'N'>, dropped?: Tensor<'N'>, towards?: ClassMix): Unlabelled {
    const nullLabel = constant(scalar('i64', this.numClasses));
    const embedded = this.embedding_table.apply(dropped === undefined ? y : where(dropped, nullLabel, y));
    if (towards === undefined) return embedded;
    const weight = reshape(towards.weight, [towards.weight.shape[0]!, 1]);
    return add(mul(sub(1, weight), embedded), mul(weight, this.embedding_table.apply(towards.y)));
  }
}

/** SiLU → Linear: the shifts, scales and gates of one block (or of the final layer) from the condition. */
export function adaLNModulation(width: number, chunks: number): Sequential {
  return new Sequential(new SiLU(), new Linear(width, chunks * width));
}

/** What the condition does to a norm, [N, D] each. */
export interface Modulation {
  readonly shift: Tensor<'N D'>;
  readonly scale: Tensor<'N D'>;
}

/** LayerNorm(x) · (1 + scale) + shift; x [N, …, D], shift and scale [N, D] (Peebles & Xie 2023, section 3.2). */
export function adaptiveNorm(x: Tensor, { shift, scale }: Modulation): Unlabelled {
  const normalised = layerNorm(x, LAYER_NORM_EPS);
  return add(mul(normalised, add(alongTokens(scale, x), 1)), alongTokens(shift, x));
}

/** x + gate · branch; gate [N, D]. */
export function gatedResidual(x: Tensor, branch: Tensor, gate: Tensor<'N D'>): Unlabelled {
  return add(x, mul(branch, alongTokens(gate, x)));
}

/**
 * Attention and a feed-forward network, each with a shift, scale and gate from the condition (adaLN-Zero; Peebles & Xie
 * 2023, figure 3).
 *
 * @param modulation - [N, 6·D]: shift, scale and gate of attention, then those of the feed-forward network
 */
export function adaLNZero(
  x: Tensor,
  modulation: Tensor,
  { attend, feedForward }: Branches,
  grouping: Grouping = {},
): Unlabelled {
  return inGroups(x, modulation, grouping, (h, vectors) => {
    const [shiftMsa, scaleMsa, gateMsa, shiftMlp, scaleMlp, gateMlp] = chunk(vectors, 6, -1) as Tuple6;
    const attended = gatedResidual(h, attend(adaptiveNorm(h, { shift: shiftMsa, scale: scaleMsa })), gateMsa);
    return gatedResidual(
      attended,
      feedForward(adaptiveNorm(attended, { shift: shiftMlp, scale: scaleMlp })),
      gateMlp,
    );
  });
}

/** What a block does between its norms and its gates, on x in the shape that it is given in. */
interface Branches {
  attend(x: Unlabelled): Tensor;
  feedForward(x: Unlabelled): Tensor;
}

type Tuple6 = [Unlabelled, Unlabelled, Unlabelled, Unlabelled, Unlabelled, Unlabelled];

function inGroups(
  x: Tensor,
  modulation: Tensor,
  { groupBytes = Number.POSITIVE_INFINITY }: Grouping,
  compute: (x: Tensor, modulation: Tensor) => Unlabelled,
): Unlabelled {
  const count = x.shape[0]!;
  const imageBytes = BYTES_PER_ELEMENT.f32 * (sizeOf(x.shape) / count);
  const groupSize = Math.max(1, Math.min(count, Math.floor(groupBytes / imageBytes)));
  const groups = Array.from({ length: Math.ceil(count / groupSize) }, (_, i) => {
    const [start, end] = [i * groupSize, Math.min(count, (i + 1) * groupSize)];
    return compute(slice(x, 0, start, end), slice(modulation, 0, start, end));
  });
  return concat(groups, 0);
}

/** Images may go through a block in groups, one after the other; what comes out is the same. */
export interface Grouping {
  /**
   * How large the feature map of a group may be, so that an operation finds in the processor's cache what the one before
   * it has left there; a group has at least one image. By default all images are one.
   */
  readonly groupBytes?: number;
}

/** [N, D] → [N, 1, …, D] to broadcast over the tokens or pixels of x. */
function alongTokens(vector: Tensor<'N D'>, x: Tensor): Unlabelled {
  return reshape(
    vector,
    x.shape.map((length, axis) => (axis === 0 || axis === x.shape.length - 1 ? length : 1)),
  );
}
