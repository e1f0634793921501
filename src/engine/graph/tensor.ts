/** @file The one node type of the graph. A `Tensor` is a value that will exist when a session runs, never before. */
import type { DType } from '../../core/dtype.ts';
import { UditError } from '../../core/errors.ts';
import type { HostTensor } from '../../core/host-tensor.ts';
import type { Shape } from '../../core/shape.ts';
import type { Pair, Window } from './window.ts';

/** Every operation and its parameters. The tables of shape, gradient, float64 and ONNX rules are keyed by this type. */
export interface OpParams {
  // leaves
  input: { readonly name: string };
  parameter: { readonly name: string };
  constant: { readonly value: HostTensor };
  // elementwise, one operand
  neg: NoParams;
  exp: NoParams;
  log: NoParams;
  sqrt: NoParams;
  reciprocal: NoParams;
  sin: NoParams;
  cos: NoParams;
  tanh: NoParams;
  erf: NoParams;
  sigmoid: NoParams;
  /** max(x, 0); its slope at 0 is 0. */
  relu: NoParams;
  /** x · geluGate(x). */
  gelu: { readonly approximate: GeluApproximation };
  /** The factor that GELU multiplies x with: Φ(x), or its tanh approximation. */
  geluGate: { readonly approximate: GeluApproximation };
  cast: { readonly dtype: DType };
  /** The value, but no gradient. */
  stopGradient: NoParams;
  // elementwise, several operands, broadcasting as NumPy
  add: NoParams;
  sub: NoParams;
  mul: NoParams;
  div: NoParams;
  maximum: NoParams;
  minimum: NoParams;
  less: NoParams;
  where: NoParams;
  // reductions
  sum: { readonly axes: readonly number[]; readonly keepDims: boolean };
  mean: { readonly axes: readonly number[]; readonly keepDims: boolean };
  // movement
  reshape: { readonly shape: Shape };
  transpose: { readonly order: readonly number[] };
  broadcastTo: { readonly shape: Shape };
  slice: { readonly axis: number; readonly start: number; readonly end: number };
  concat: { readonly axis: number };
  pad: { readonly before: readonly number[]; readonly after: readonly number[] };
  reverse: { readonly axes: readonly number[] };
  /** Rows of a table [rows, …] by int64 indices. */
  takeRows: NoParams;
  /** The transpose of takeRows: adds values [n, …] into a zero table of `rows` rows. */
  addRows: { readonly rows: number };
  // products
  matmul: { readonly transposeA: boolean; readonly transposeB: boolean };
  /** x [… I] · weight [O, I]ᵀ + bias [O]. */
  linear: NoParams;
  /** For each row of a weight [O, I] the step of its quantisation [O]: max(its largest magnitude, eps) / levels. */
  weightScales: { readonly levels: number; readonly eps: number };
  /** A weight [O, I] in whole steps of its scales [O], as int8 and transposed: [I, O]. */
  quantizeWeight: NoParams;
  /**
   * x [… I] · weight [I, O] · scales [O] + bias [O], where the weight is int8 and x is brought to 256 levels between its
   * smallest and its largest value, 0 among them.
   */
  quantizedLinear: NoParams;
  /** Dense convolution on N H W C; weight [O, I, kh, kw]. Without a window, stride 1 and padding that keeps the size. */
  conv2d: { readonly window?: Window };
  /** The gradient of its weight from image and gradient; `kernel` is [kh, kw], or one number for both. */
  conv2dWeightGradient: { readonly kernel: number | Pair; readonly window?: Window };
  /** One k×k filter per channel, stride 1, same padding, on N H W C; weight [C, 1, k, k]. */
  depthwiseConv2d: NoParams;
  depthwiseConv2dWeightGradient: { readonly kernel: number };
  // windows and sizes of images N H W C
  /** The largest pixel in each window; padding is never chosen. */
  maxPool2d: PoolParams;
  /** The mean over each window. Padding counts as zeros, or not at all. */
  averagePool2d: AveragePoolParams;
  /** Every pixel as a block of factor[0] × factor[1] pixels. */
  resizeNearest: { readonly factor: Pair };
  // normalisation and attention
  softmax: NoParams;
  /** Zero mean and unit variance over the last axis. */
  layerNorm: { readonly eps: number };
  /** layerNorm(x) · scale [D] + shift [D]. */
  modulatedNorm: { readonly eps: number };
  /** 1 / standard deviation over the last axis, kept as axis of length 1. */
  inverseDeviation: { readonly eps: number };
  /** x / max(‖x‖, eps) over the last axis. */
  l2Normalize: { readonly eps: number };
  /** 1 / max(‖x‖, eps) over the last axis, kept as axis of length 1. */
  inverseNorm: { readonly eps: number };
  /** Rotates the pairs (2j, 2j+1) of each head of x [B, T, heads·headDim] by tables cos, sin [T, headDim/2]. */
  rotary: { readonly heads: number };
  /** softmax(scale · q kᵀ) v per head; q, k, v [B, T, heads·headDim]. */
  attention: { readonly heads: number; readonly scale: number };
  /** softmax(scale · q kᵀ), [B, heads, T, S]. */
  attentionWeights: { readonly heads: number; readonly scale: number };
}

type NoParams = Readonly<Record<never, never>>;
/** The kernel of a pooling operation and where it is put. */
export interface PoolParams extends Window {
  readonly kernel: Pair;
}
export interface AveragePoolParams extends PoolParams {
  readonly countsPadding: boolean;
}
export type GeluApproximation = 'none' | 'tanh';
export type OpName = keyof OpParams;

let nextId = 0;

/**
 * A node of the graph: one value of known shape and dtype, and how it is computed.
 *
 * `Axes` is a label such as `'N T D'` that the compiler compares; sizes are checked by `expectAxes` at trace time.
 */
export class Tensor<Axes extends string = string> {
  declare readonly axes: Axes;
  /** Grows in the order of creation, so inputs always have smaller ids than their users. */
  readonly id: number;
  readonly op: OpName;
  readonly inputs: readonly Tensor[];
  readonly params: OpParams[OpName];
  readonly shape: Shape;
  readonly dtype: DType;
  /** Module path at trace time; it names ONNX nodes, profiles and errors. */
  readonly scope: string;

  constructor(op: OpName, inputs: readonly Tensor[], params: OpParams[OpName], shape: Shape, dtype: DType) {
    this.id = nextId++;
    this.op = op;
    this.inputs = inputs;
    this.params = params;
    this.shape = shape;
    this.dtype = dtype;
    this.scope = currentScope();
  }
}

/** A tensor whose axes carry no label; it fits wherever a label is asked for. */
export type Unlabelled = Tensor<never>;

/** Is this node of the given operation? Narrows its parameters. */
export function isOp<O extends OpName>(
  tensor: Tensor,
  op: O,
): tensor is Tensor & { readonly op: O; readonly params: OpParams[O] } {
  return tensor.op === op;
}

const scopes: string[] = [];

function currentScope(): string {
  return scopes.at(-1) ?? '';
}

/** Runs `build` with all nodes made in it carrying `scope`; an error raised inside says where it was tracing. */
export function withScope<T>(scope: string, build: () => T): T {
  scopes.push(scope);
  try {
    return build();
  } catch (error) {
    // The innermost scope is the most telling one: add it once. That of a whole model is nameless.
    if (scope !== '' && error instanceof UditError && !error.message.includes('\n  while tracing ')) {
      error.message = error.message.replace(/(\n {2}fix: |$)/, `\n  while tracing ${scope}$1`);
    }
    throw error;
  } finally {
    scopes.pop();
  }
}
