/**
 * @file Reverse-mode differentiation on the graph. A rule gets the node and the gradient of its value and builds the
 * gradients of its inputs from the same operators, so gradients can be printed, evaluated and lowered like anything else.
 */
import { ShapeError } from '../../core/errors.ts';
import {
  add,
  addRows,
  attentionWeights,
  broadcastTo,
  cast,
  constant,
  conv2dWeightGradient,
  cos,
  depthwiseConv2d,
  depthwiseConv2dWeightGradient,
  div,
  exp,
  geluGate,
  inverseDeviation,
  inverseNorm,
  isSingle,
  less,
  matmul,
  maximum,
  mean,
  mergeHeads,
  mul,
  neg,
  pad,
  reshape,
  reverse,
  rotary,
  sin,
  slice,
  splitHeads,
  square,
  sub,
  sum,
  sumTo,
  takeRows,
  transpose,
  where,
  zerosLike,
} from './operators.ts';
import { Recomputation, type SegmentOf } from './recompute.ts';
import { type OpName, type OpParams, type Tensor, withScope } from './tensor.ts';
import { dependingOnInputs, topologicalOrder } from './traverse.ts';
import { sameWindow } from './window.ts';
import {
  averagePool2dGradient,
  conv2dInputGradient,
  maxPool2dGradient,
  resizeNearestGradient,
} from './window-gradients.ts';

type TypedNode<O extends OpName> = Tensor & { readonly params: OpParams[O] };
/** Gradients of the inputs, in order; null where an input (indices, a condition) has none. */
type VjpRule<O extends OpName> = (
  dy: Tensor,
  y: TypedNode<O>,
  ...inputs: Tensor[]
) => readonly (Tensor | null)[];
/** An operation without gradient says why. */
interface NoVjp {
  readonly reason: string;
}

const LEAF: NoVjp = { reason: 'a leaf has no inputs' };
const QUANTISED: NoVjp = { reason: 'rounding is constant almost everywhere; training is in float32' };
const JOINED: NoVjp = { reason: 'it is joined from others when gradients have been taken, for inference' };
const SECOND_ORDER: NoVjp = {
  reason: 'it occurs only in gradients; second derivatives of convolutions are not needed',
};

const extremum =
  (takesFirst: (a: Tensor, b: Tensor) => Tensor): VjpRule<'maximum' | 'minimum'> =>
  (dy, _, a, b) => {
    const chosen = takesFirst(a!, b!);
    const zero = zerosLike(dy);
    return [sumTo(where(chosen, dy, zero), a!.shape), sumTo(where(chosen, zero, dy), b!.shape)];
  };

export const VJP: { readonly [O in OpName]: VjpRule<O> | NoVjp } = {
  input: LEAF,
  parameter: LEAF,
  constant: LEAF,
  neg: (dy) => [neg(dy)],
  exp: (dy, y) => [mul(dy, y)],
  log: (dy, _, x) => [div(dy, x!)],
  sqrt: (dy, y) => [div(mul(dy, 0.5), y)],
  reciprocal: (dy, y) => [neg(mul(dy, square(y)))],
  sin: (dy, _, x) => [mul(dy, cos(x!))],
  cos: (dy, _, x) => [neg(mul(dy, sin(x!)))],
  tanh: (dy, y) => [mul(dy, sub(1, square(y)))],
  erf: (dy, _, x) => [mul(dy, mul(exp(neg(square(x!))), 2 / Math.sqrt(Math.PI)))],
  sigmoid: (dy, y) => [mul(dy, mul(y, sub(1, y)))],
  relu: (dy, y) => [where(less(0, y), dy, zerosLike(dy))],
  gelu: (dy, { params: { approximate } }, x) => {
    const gate = geluGate(x!, approximate);
    return [mul(dy, add(gate, mul(x!, geluGateSlope(x!, gate, approximate))))];
  },
  geluGate: (dy, y, x) => [mul(dy, geluGateSlope(x!, y, y.params.approximate))],
  cast: (dy, _, x) => [x!.dtype === 'f32' || x!.dtype === 'f64' ? cast(dy, x!.dtype) : null],
  stopGradient: () => [null],
  add: (dy, _, a, b) => [sumTo(dy, a!.shape), sumTo(dy, b!.shape)],
  sub: (dy, _, a, b) => [sumTo(dy, a!.shape), neg(sumTo(dy, b!.shape))],
  mul: (dy, _, a, b) => [sumTo(mul(dy, b!), a!.shape), sumTo(mul(dy, a!), b!.shape)],
  div: (dy, y, a, b) => {
    const da = div(dy, b!);
    return [sumTo(da, a!.shape), neg(sumTo(mul(da, y), b!.shape))];
  },
  // On a tie the whole gradient goes to the second operand, which is how clamp is written: a value at the bound is
  // taken as clamped. PyTorch passes the gradient there; the difference is a set of measure zero.
  maximum: extremum((a, b) => less(b, a)),
  minimum: extremum((a, b) => less(a, b)),
  less: { reason: 'a comparison is constant almost everywhere' },
  where: (dy, _, condition, a, b) => {
    const zero = zerosLike(dy);
    return [null, sumTo(where(condition!, dy, zero), a!.shape), sumTo(where(condition!, zero, dy), b!.shape)];
  },
  sum: (dy, { params }, x) => [broadcastTo(restoreAxes(dy, params, x!), x!.shape)],
  mean: (dy, { params }, x) => {
    const count = params.axes.reduce((product, axis) => product * x!.shape[axis]!, 1);
    return [broadcastTo(restoreAxes(mul(dy, 1 / count), params, x!), x!.shape)];
  },
  reshape: (dy, _, x) => [reshape(dy, x!.shape)],
  transpose: (dy, { params: { order } }) => [transpose(dy, invertOrder(order))],
  broadcastTo: (dy, _, x) => [sumTo(dy, x!.shape)],
  slice: (dy, { params: { axis, start, end } }, x) => {
    const none = x!.shape.map(() => 0);
    return [pad(dy, none.with(axis, start), none.with(axis, x!.shape[axis]! - end))];
  },
  concat: (dy, { params: { axis } }, ...parts) => {
    let start = 0;
    return parts.map((part) => {
      const end = start + part.shape[axis]!;
      const gradient = slice(dy, axis, start, end);
      start = end;
      return gradient;
    });
  },
  pad: (dy, { params: { before } }, x) => [
    before.reduce<Tensor>((rest, start, axis) => slice(rest, axis, start, start + x!.shape[axis]!), dy),
  ],
  reverse: (dy, { params: { axes } }) => [reverse(dy, axes)],
  takeRows: (dy, _, table, indices) => {
    const rowShape = table!.shape.slice(1);
    const count = indices!.shape.reduce((product, length) => product * length, 1);
    return [addRows(reshape(dy, [count, ...rowShape]), reshape(indices!, [count]), table!.shape[0]!), null];
  },
  addRows: (dy, _, __, indices) => [takeRows(dy, indices!), null],
  matmul: (dy, { params: { transposeA, transposeB } }, a, b) => [
    transposeA
      ? matmul(b!, dy, { transposeA: transposeB, transposeB: true })
      : matmul(dy, b!, { transposeB: !transposeB }),
    transposeB
      ? matmul(dy, a!, { transposeA: true, transposeB: transposeA })
      : matmul(a!, dy, { transposeA: !transposeA }),
  ],
  linear: (dy, _, x, weight, bias) => {
    const rows = toMatrix(dy);
    return [
      reshape(matmul(rows, weight!), x!.shape),
      matmul(rows, toMatrix(x!), { transposeA: true }),
      ...(bias === undefined ? [] : [sum(rows, 0)]),
    ];
  },
  weightScales: QUANTISED,
  quantizeWeight: QUANTISED,
  quantizedLinear: QUANTISED,
  conv2d: (dy, { params }, x, weight, bias) => {
    const [, , ...kernel] = weight!.shape as [number, number, number, number];
    const { stride, before, after } = params.window ?? sameWindow(kernel);
    const window = { stride, padding: { before, after } };
    return [
      conv2dInputGradient(dy, x!, weight!, { stride, before, after }),
      conv2dWeightGradient(x!, dy, kernel, window),
      ...(bias === undefined ? [] : [sum(toMatrix(dy), 0)]),
    ];
  },
  conv2dWeightGradient: SECOND_ORDER,
  depthwiseConv2d: (dy, _, x, weight, bias) => [
    depthwiseConv2d(dy, reverse(weight!, [2, 3])),
    depthwiseConv2dWeightGradient(x!, dy, weight!.shape[2]!),
    ...(bias === undefined ? [] : [sum(toMatrix(dy), 0)]),
  ],
  depthwiseConv2dWeightGradient: SECOND_ORDER,
  maxPool2d: (dy, y, x) => [maxPool2dGradient(dy, y, x!, y.params)],
  averagePool2d: (dy, { params }, x) => [averagePool2dGradient(dy, x!, params)],
  resizeNearest: (dy, { params }, x) => [resizeNearestGradient(dy, x!, params.factor)],
  softmax: (dy, y) => {
    const weighted = mul(dy, y);
    return [sub(weighted, mul(y, sum(weighted, -1, true)))];
  },
  layerNorm: (dy, y, x) => {
    const centred = sub(dy, mean(dy, -1, true));
    const slope = inverseDeviation(x!, y.params.eps);
    return [mul(slope, sub(centred, mul(y, mean(mul(dy, y), -1, true))))];
  },
  modulatedNorm: JOINED,
  inverseDeviation: (dy, y, x) => {
    const width = x!.shape.at(-1)!;
    const cubed = mul(square(y), y);
    return [mul(mul(dy, mul(cubed, -1 / width)), sub(x!, mean(x!, -1, true)))];
  },
  l2Normalize: (dy, y, x) => {
    if (isSingle(x!)) {
      // The sign of x, constant but where x is shorter than eps.
      const isShort = less(maximum(x!, neg(x!)), y.params.eps);
      return [where(isShort, mul(dy, 1 / y.params.eps), zerosLike(dy))];
    }
    const along = sum(mul(dy, y), -1, true);
    return [mul(inverseNorm(x!, y.params.eps), sub(dy, mul(y, along)))];
  },
  inverseNorm: (dy, y, x) => [mul(mul(dy, neg(mul(square(y), y))), x!)],
  rotary: (dy, { params: { heads } }, _, cosTable, sinTable) => [
    rotary(dy, cosTable!, neg(sinTable!), heads),
    null,
    null,
  ],
  attention: (dy, y, q, k, v) => {
    const { heads, scale } = y.params;
    const weights = attentionWeights(q!, k!, y.params); // (B, heads, T, S)
    const [dyHeads, qHeads, kHeads] = [splitHeads(dy, heads), splitHeads(q!, heads), splitHeads(k!, heads)];
    const dWeights = matmul(dyHeads, splitHeads(v!, heads), { transposeB: true });
    // Σ over S of weights · dWeights equals Σ over headDim of y · dy, which is the smaller tensor.
    const along = sum(mul(dyHeads, splitHeads(y, heads)), -1, true); // (B, heads, T, 1)
    const dScores = mul(weights, sub(dWeights, along));
    return [
      scaled(mergeHeads(matmul(dScores, kHeads)), scale),
      scaled(mergeHeads(matmul(dScores, qHeads, { transposeA: true })), scale),
      mergeHeads(matmul(weights, dyHeads, { transposeA: true })),
    ];
  },
  attentionWeights: (dy, y, q, k) => {
    const { heads, scale } = y.params;
    const weighted = mul(dy, y);
    const dScores = sub(weighted, mul(y, sum(weighted, -1, true)));
    return [
      scaled(mergeHeads(matmul(dScores, splitHeads(k!, heads))), scale),
      scaled(mergeHeads(matmul(dScores, splitHeads(q!, heads), { transposeA: true })), scale),
    ];
  },
};

export interface GradientOptions {
  /** Segments whose inner values are computed again for their gradients. Default: all values are kept. */
  readonly segmentOf?: SegmentOf;
}

/**
 * Gradients of a scalar with respect to `targets`, in their order. A target that does not influence the scalar gets zeros.
 *
 *     const x = input('x', [3]);
 *     const [slope] = gradients(mean(square(x)), [x]);
 *     console.log(formatGraph(graphOf({ slope: slope! })));
 *
 * @throws ShapeError if `output` is not a scalar, or a path to a target leads through what has no gradient
 */
export function gradients(
  output: Tensor,
  targets: readonly Tensor[],
  { segmentOf = () => undefined }: GradientOptions = {},
): Tensor[] {
  if (output.shape.length !== 0) {
    throw new ShapeError({
      where: 'gradients',
      problem: `the differentiated value has ${output.shape.length} axes, not 0`,
      fix: 'take its mean or sum first',
    });
  }
  const order = topologicalOrder([output]);
  const active = new Set<Tensor>(targets);
  for (const tensor of order) if (tensor.inputs.some((x) => active.has(x))) active.add(tensor);

  const recomputation = new Recomputation(segmentOf, dependingOnInputs(order));
  const gradientOf = new Map<Tensor, Tensor>([[output, constant(1)]]);
  for (const tensor of order.reverse()) {
    const dy = gradientOf.get(tensor);
    if (dy === undefined || !active.has(tensor) || tensor.inputs.length === 0) continue;
    const rule = VJP[tensor.op];
    if ('reason' in rule) {
      throw new ShapeError({ where: `gradients: ${tensor.op}`, problem: `no gradient: ${rule.reason}` });
    }
    withScope(tensor.scope, () => {
      const { value, inputs } = recomputation.valuesFor(tensor, dy);
      const inputGradients = (rule as VjpRule<OpName>)(dy, value as TypedNode<OpName>, ...inputs);
      tensor.inputs.forEach((x, i) => {
        const gradient = inputGradients[i];
        if (!active.has(x)) return;
        if (gradient === null || gradient === undefined) {
          expectNone(tensor, i);
          return;
        }
        const sofar = gradientOf.get(x);
        gradientOf.set(x, sofar === undefined ? gradient : add(sofar, gradient));
      });
    });
  }
  return targets.map((target) => gradientOf.get(target) ?? zerosLike(target));
}

/** Indices and conditions are constant almost everywhere; a number without a gradient would be lost without a word. */
function expectNone({ op, inputs }: Tensor, i: number): void {
  if (op === 'stopGradient' || (inputs[i]!.dtype !== 'f32' && inputs[i]!.dtype !== 'f64')) return;
  throw new ShapeError({
    where: `gradients: ${op}`,
    problem: `no gradient for operand ${i}, which depends on a target`,
    fix: 'if this is intended, wrap it in stopGradient',
  });
}

/** d geluGate / dx: the normal density, or the slope of its tanh approximation in terms of the gate itself. */
function geluGateSlope(x: Tensor, gate: Tensor, approximate: 'none' | 'tanh'): Tensor {
  if (approximate === 'none') return mul(exp(mul(square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  const c = Math.sqrt(2 / Math.PI);
  const inner = add(mul(square(x), 3 * 0.044715 * c), c);
  return mul(mul(mul(gate, sub(1, gate)), 2), inner);
}

function restoreAxes(dy: Tensor, { axes, keepDims }: OpParams['sum'], x: Tensor): Tensor {
  return keepDims
    ? dy
    : reshape(
        dy,
        x.shape.map((length, axis) => (axes.includes(axis) ? 1 : length)),
      );
}

function invertOrder(order: readonly number[]): number[] {
  const inverse = new Array<number>(order.length);
  order.forEach((axis, i) => {
    inverse[axis] = i;
  });
  return inverse;
}

/** All leading axes merged: [… D] → [rows, D]. */
function toMatrix(x: Tensor): Tensor {
  const width = x.shape.at(-1)!;
  return reshape(x, [x.shape.slice(0, -1).reduce((product, length) => product * length, 1), width]);
}

function scaled(x: Tensor, scale: number): Tensor {
  return scale === 1 ? x : mul(x, scale);
}
