/**
 * @file Operators: free functions that add nodes to the graph. Shapes are checked as the node is made.
 * Compositions that a paper names (silu, modulate, rearrange) are built here and in `nn` from these.
 */
import type { DType } from '../../core/dtype.ts';
import { ShapeError } from '../../core/errors.ts';
import { type HostTensor, scalar, tensorOf } from '../../core/host-tensor.ts';
import { formatShape, normaliseAxis, type Shape, sameShape } from '../../core/shape.ts';
import { INFER, type Inferred } from './infer.ts';
import {
  type GeluApproximation,
  isOp,
  type OpName,
  type OpParams,
  Tensor,
  type Unlabelled,
} from './tensor.ts';
import { type Pair, pairOf, sameWindow, type Window, type WindowOptions, windowOf } from './window.ts';

/** A number stands for a float32 scalar. */
export type Operand = Tensor | number;

function node<O extends Exclude<OpName, 'input' | 'parameter'>>(
  op: O,
  inputs: readonly Tensor[],
  params: OpParams[O],
): Unlabelled {
  const infer = INFER[op] as (inputs: readonly Tensor[], params: OpParams[O], op: O) => Inferred;
  const { shape, dtype } = infer(inputs, params, op);
  return new Tensor(op, inputs, params, shape, dtype) as Unlabelled;
}

/** The same operation on other inputs: how passes rebuild a graph. */
export function rebuild(tensor: Tensor, inputs: readonly Tensor[]): Unlabelled {
  return node(tensor.op as 'add', inputs, tensor.params as OpParams['add']);
}

// Leaves

/** A value fed at every run. */
export function input(name: string, shape: Shape, dtype: DType = 'f32'): Unlabelled {
  return new Tensor('input', [], { name }, shape, dtype) as Unlabelled;
}

/** A trained value, which `nn.Parameter` makes, or one that was computed of such values. */
export function parameter(name: string, shape: Shape, dtype: DType = 'f32'): Unlabelled {
  return new Tensor('parameter', [], { name }, shape, dtype) as Unlabelled;
}

export function constant(value: HostTensor | number): Unlabelled {
  return node('constant', [], { value: typeof value === 'number' ? scalar('f32', value) : value });
}

/** A float32 constant from plain numbers. */
export function constantOf(shape: Shape, values: Iterable<number>): Unlabelled {
  return constant(tensorOf('f32', shape, values));
}

const lift = (operand: Operand): Tensor => (typeof operand === 'number' ? constant(operand) : operand);

// Elementwise

export const neg = (x: Tensor): Unlabelled => node('neg', [x], {});
export const exp = (x: Tensor): Unlabelled => node('exp', [x], {});
export const log = (x: Tensor): Unlabelled => node('log', [x], {});
export const sqrt = (x: Tensor): Unlabelled => node('sqrt', [x], {});
export const reciprocal = (x: Tensor): Unlabelled => node('reciprocal', [x], {});
export const sin = (x: Tensor): Unlabelled => node('sin', [x], {});
export const cos = (x: Tensor): Unlabelled => node('cos', [x], {});
export const tanh = (x: Tensor): Unlabelled => node('tanh', [x], {});
export const erf = (x: Tensor): Unlabelled => node('erf', [x], {});
export const sigmoid = (x: Tensor): Unlabelled => node('sigmoid', [x], {});
/** max(x, 0). */
export const relu = (x: Tensor): Unlabelled => node('relu', [x], {});
export const square = (x: Tensor): Unlabelled => mul(x, x);
/** x · sigmoid(x). */
export const silu = (x: Tensor): Unlabelled => mul(x, sigmoid(x));
/** x · Φ(x), exactly (`'none'`) or by the tanh approximation. */
export const gelu = (x: Tensor, approximate: GeluApproximation): Unlabelled =>
  node('gelu', [x], { approximate });
export const geluGate = (x: Tensor, approximate: GeluApproximation): Unlabelled =>
  node('geluGate', [x], { approximate });
export const cast = (x: Tensor, dtype: DType): Unlabelled => node('cast', [x], { dtype });
/** The value of x, cut off from gradients (`detach` in PyTorch). */
export const stopGradient = (x: Tensor): Unlabelled => node('stopGradient', [x], {});

export const add = (a: Operand, b: Operand): Unlabelled => node('add', [lift(a), lift(b)], {});
export const sub = (a: Operand, b: Operand): Unlabelled => node('sub', [lift(a), lift(b)], {});
export const mul = (a: Operand, b: Operand): Unlabelled => node('mul', [lift(a), lift(b)], {});
export const div = (a: Operand, b: Operand): Unlabelled => node('div', [lift(a), lift(b)], {});
export const maximum = (a: Operand, b: Operand): Unlabelled => node('maximum', [lift(a), lift(b)], {});
export const minimum = (a: Operand, b: Operand): Unlabelled => node('minimum', [lift(a), lift(b)], {});
export const clamp = (x: Tensor, low: number, high: number): Unlabelled => maximum(minimum(x, high), low);
/** a < b, as booleans. */
export const less = (a: Operand, b: Operand): Unlabelled => node('less', [lift(a), lift(b)], {});
export const where = (condition: Tensor, a: Operand, b: Operand): Unlabelled =>
  node('where', [condition, lift(a), lift(b)], {});

// Reductions

function reductionAxes(x: Tensor, axes: number | readonly number[] | undefined, op: OpName): number[] {
  if (axes === undefined) return x.shape.map((_, axis) => axis);
  const list = typeof axes === 'number' ? [axes] : axes;
  return list.map((axis) => normaliseAxis(axis, x.shape.length, op)).sort((a, b) => a - b);
}

/** Sum over `axes` (default: all). */
export function sum(x: Tensor, axes?: number | readonly number[], keepDims = false): Unlabelled {
  return node('sum', [x], { axes: reductionAxes(x, axes, 'sum'), keepDims });
}

/** Mean over `axes` (default: all). */
export function mean(x: Tensor, axes?: number | readonly number[], keepDims = false): Unlabelled {
  return node('mean', [x], { axes: reductionAxes(x, axes, 'mean'), keepDims });
}

// Movement

export function reshape(x: Tensor, shape: Shape): Unlabelled {
  return sameShape(x.shape, shape) ? (x as Unlabelled) : node('reshape', [x], { shape });
}

export function transpose(x: Tensor, order: readonly number[]): Unlabelled {
  return order.every((axis, i) => axis === i) && order.length === x.shape.length
    ? (x as Unlabelled)
    : node('transpose', [x], { order });
}

export function broadcastTo(x: Tensor, shape: Shape): Unlabelled {
  return sameShape(x.shape, shape) ? (x as Unlabelled) : node('broadcastTo', [x], { shape });
}

/** Elements `start … end-1` of one axis. */
export function slice(x: Tensor, axis: number, start: number, end: number): Unlabelled {
  const normalised = normaliseAxis(axis, x.shape.length, 'slice');
  if (start === 0 && end === x.shape[normalised]) return x as Unlabelled;
  return node('slice', [x], { axis: normalised, start, end });
}

/** `count` equal parts along an axis, as PyTorch's `chunk`. */
export function chunk(x: Tensor, count: number, axis: number): Unlabelled[] {
  const length = x.shape.at(axis)!;
  if (length % count !== 0) {
    throw new ShapeError({
      where: 'chunk',
      problem: `axis ${axis} of ${formatShape(x.shape)} is not a multiple of ${count}`,
    });
  }
  const part = length / count;
  return Array.from({ length: count }, (_, i) => slice(x, axis, i * part, (i + 1) * part));
}

export function concat(parts: readonly Tensor[], axis: number): Unlabelled {
  if (parts.length === 1) return parts[0] as Unlabelled;
  return node('concat', parts, { axis: normaliseAxis(axis, parts[0]?.shape.length ?? 0, 'concat') });
}

/** Zeros before and after each axis. */
export function pad(x: Tensor, before: readonly number[], after: readonly number[]): Unlabelled {
  return before.every((n) => n === 0) && after.every((n) => n === 0)
    ? (x as Unlabelled)
    : node('pad', [x], { before, after });
}

export const reverse = (x: Tensor, axes: readonly number[]): Unlabelled => node('reverse', [x], { axes });
/** Rows of `table` [rows, …] at int64 `indices`. */
export const takeRows = (table: Tensor, indices: Tensor): Unlabelled =>
  node('takeRows', [table, indices], {});
/** A zero table of `rows` rows with `values` [n, …] added at `indices` [n]. */
export const addRows = (values: Tensor, indices: Tensor, rows: number): Unlabelled =>
  node('addRows', [values, indices], { rows });

// Products

export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

/** Product over the last two axes; leading axes must be equal. */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Unlabelled {
  const { transposeA = false, transposeB = false } = options;
  return node('matmul', [a, b], { transposeA, transposeB });
}

/** x [… I] · weight [O, I]ᵀ (+ bias [O]). */
export const linear = (x: Tensor, weight: Tensor, bias?: Tensor): Unlabelled =>
  node('linear', bias === undefined ? [x, weight] : [x, weight, bias], {});
/** For each row of a weight [O, I] the step [O] of which its largest magnitude is `levels`. */
export const weightScales = (weight: Tensor, levels: number, eps = 1e-20): Unlabelled =>
  node('weightScales', [weight], { levels, eps });
/** A weight [O, I] in whole steps of `scales` [O], as int8 [I, O]. */
export const quantizeWeight = (weight: Tensor, scales: Tensor): Unlabelled =>
  node('quantizeWeight', [weight, scales], {});
/** x [… I], quantised as it comes, · weight int8 [I, O] · scales [O] (+ bias [O]). */
export const quantizedLinear = (x: Tensor, weight: Tensor, scales: Tensor, bias?: Tensor): Unlabelled =>
  node('quantizedLinear', bias === undefined ? [x, weight, scales] : [x, weight, scales, bias], {});
/**
 * Dense convolution: x [N, H, W, I], weight [O, I, kh, kw] (+ bias [O]). Its stride is 1 and its padding keeps the size,
 * unless the options say otherwise.
 */
export function conv2d(x: Tensor, weight: Tensor, bias?: Tensor, options: WindowOptions = {}): Unlabelled {
  const [, , height = 1, width = 1] = weight.shape;
  const operands = bias === undefined ? [x, weight] : [x, weight, bias];
  return node('conv2d', operands, namedWindow([height, width], options));
}

export function conv2dWeightGradient(
  x: Tensor,
  dy: Tensor,
  kernel: number | Pair,
  options: WindowOptions = {},
): Unlabelled {
  const [height, width] = pairOf(kernel);
  return node('conv2dWeightGradient', [x, dy], {
    kernel: height === width ? height : [height, width],
    ...namedWindow([height, width], options),
  });
}

/** The window where it is not the usual one, so that equal convolutions are written alike. */
function namedWindow(kernel: Pair, options: WindowOptions): { readonly window?: Window } {
  const usual = sameWindow(kernel);
  const window = windowOf(options, usual);
  const isUsual = (['stride', 'before', 'after'] as const).every((part) =>
    sameShape(window[part], usual[part]),
  );
  return isUsual ? {} : { window };
}

/** One filter per channel, stride 1, same padding: x [N, H, W, C], weight [C, 1, k, k] (+ bias [C]). */
export const depthwiseConv2d = (x: Tensor, weight: Tensor, bias?: Tensor): Unlabelled =>
  node('depthwiseConv2d', bias === undefined ? [x, weight] : [x, weight, bias], {});
export const depthwiseConv2dWeightGradient = (x: Tensor, dy: Tensor, kernel: number): Unlabelled =>
  node('depthwiseConv2dWeightGradient', [x, dy], { kernel });

// Windows and sizes of images

export interface PoolOptions extends WindowOptions {
  readonly kernel: number | Pair;
}

/** Kernels side by side and no padding, unless the options say otherwise. */
function poolParams({ kernel, ...options }: PoolOptions): OpParams['maxPool2d'] {
  const size = pairOf(kernel);
  return { kernel: size, ...windowOf(options, { stride: size, before: [0, 0], after: [0, 0] }) };
}

/** The largest pixel of each window of x [N, H, W, C] (PyTorch's `max_pool2d`). */
export const maxPool2d = (x: Tensor, options: PoolOptions): Unlabelled =>
  node('maxPool2d', [x], poolParams(options));
/**
 * The mean over each window of x [N, H, W, C] (PyTorch's `avg_pool2d`). Padding is counted as zeros unless
 * `countsPadding` is false: then each mean is over the pixels of the image alone.
 */
export const averagePool2d = (
  x: Tensor,
  { countsPadding = true, ...options }: PoolOptions & { readonly countsPadding?: boolean },
): Unlabelled => node('averagePool2d', [x], { ...poolParams(options), countsPadding });
/** Every pixel of x [N, H, W, C] as a block of `factor` × `factor` pixels. */
export const resizeNearest = (x: Tensor, factor: number | Pair): Unlabelled =>
  node('resizeNearest', [x], { factor: pairOf(factor) });

// Normalisation and attention

// Over one element, some of these are the same whatever it is. That is said in the graph, so that its gradient is exactly
// zero: Adam makes a whole step of any other, however small.

/** Over the last axis. */
export function softmax(x: Tensor): Unlabelled {
  const y = node('softmax', [x], {});
  return isSingle(x) ? filledLike(y, 1) : y;
}

/** (x − mean) / √(variance + eps) over the last axis, without affine parameters. */
export function layerNorm(x: Tensor, eps: number): Unlabelled {
  const y = node('layerNorm', [x], { eps });
  return isSingle(x) ? filledLike(y, 0) : y;
}

/** layerNorm(x) · scale + shift, with one scale [D] and shift [D] for all tokens. */
export function modulatedNorm(
  x: Tensor,
  { scale, shift, eps }: { readonly scale: Tensor; readonly shift: Tensor; readonly eps: number },
): Unlabelled {
  return node('modulatedNorm', [x, scale, shift], { eps });
}

/** 1 / √(variance + eps) over the last axis, kept. */
export function inverseDeviation(x: Tensor, eps: number): Unlabelled {
  const y = node('inverseDeviation', [x], { eps });
  return isSingle(x) ? filledLike(y, 1 / Math.sqrt(eps)) : y;
}

/** x / max(‖x‖₂, eps) over the last axis, as PyTorch's `F.normalize`. */
export const l2Normalize = (x: Tensor, eps = 1e-12): Unlabelled => node('l2Normalize', [x], { eps });
export const inverseNorm = (x: Tensor, eps: number): Unlabelled => node('inverseNorm', [x], { eps });
/** Rotary position embedding of x [B, T, heads·headDim]; tables [T, headDim/2], pairs interleaved. */
export const rotary = (x: Tensor, cosTable: Tensor, sinTable: Tensor, heads: number): Unlabelled =>
  node('rotary', [x, cosTable, sinTable], { heads });
/** Scaled dot-product attention of q [B, T, D] over k, v [B, S, D], `heads` heads of D / heads. */
export function attention(q: Tensor, k: Tensor, v: Tensor, params: OpParams['attention']): Unlabelled {
  const y = node('attention', [q, k, v], params);
  return v.shape[1] === 1 ? broadcastTo(v, y.shape) : y;
}

export function attentionWeights(q: Tensor, k: Tensor, params: OpParams['attentionWeights']): Unlabelled {
  const y = node('attentionWeights', [q, k], params);
  return k.shape[1] === 1 ? filledLike(y, 1) : y;
}

/** Is the last axis one element long? */
export const isSingle = (x: Tensor): boolean => x.shape.at(-1) === 1;

// Compositions used by several layers

/** [B, T, heads·d] → [B, heads, T, d]. */
export function splitHeads(x: Tensor, heads: number): Unlabelled {
  const [batch, tokens, width] = x.shape as [number, number, number];
  return transpose(reshape(x, [batch, tokens, heads, width / heads]), [0, 2, 1, 3]);
}

/** [B, heads, T, d] → [B, T, heads·d]. */
export function mergeHeads(x: Tensor): Unlabelled {
  const [batch, heads, tokens, headDim] = x.shape as [number, number, number, number];
  return reshape(transpose(x, [0, 2, 1, 3]), [batch, tokens, heads * headDim]);
}

/** Sums the axes that broadcasting stretched, so that the result has `shape`: the gradient of a broadcast. */
export function sumTo(x: Tensor, shape: Shape): Unlabelled {
  if (sameShape(x.shape, shape)) return x as Unlabelled;
  const added = x.shape.length - shape.length;
  const axes = x.shape.flatMap((length, axis) =>
    axis < added || (shape[axis - added] === 1 && length !== 1) ? [axis] : [],
  );
  return reshape(sum(x, axes), shape);
}

/** A constant of one value, written as one broadcast scalar. */
function filledLike({ shape, dtype }: Tensor, value: number): Unlabelled {
  return broadcastTo(constant(scalar(dtype as 'f32' | 'f64', value)), shape);
}

export const zerosLike = (x: Tensor): Unlabelled => filledLike(x, 0);

/** Is this a constant whose elements all equal `value`? */
export function isConstant(x: Tensor, value: number): boolean {
  return isOp(x, 'constant') && x.params.value.data.every((element) => Number(element) === value);
}
