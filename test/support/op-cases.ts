/**
 * @file One table of cases for every operation. Gradients are compared with central differences on it, ONNX Runtime
 * with the float64 evaluator; an operation without a case fails the completeness test.
 */
import { type DType, isFloat } from '../../src/core/dtype.ts';
import { type HostTensor, tensorOf } from '../../src/core/host-tensor.ts';
import { fold, normal, type RandomKey, randomIntegers, randomKey, uniform } from '../../src/core/random.ts';
import { type Shape, sizeOf } from '../../src/core/shape.ts';
import * as ops from '../../src/engine/graph/operators.ts';
import type { OpName, Tensor } from '../../src/engine/graph/tensor.ts';
import { VJP } from '../../src/engine/graph/vjp.ts';
import {
  type Pair,
  positionsOf,
  sameWindow,
  type WindowOptions,
  windowOf,
} from '../../src/engine/graph/window.ts';

/** Where the values of an operand come from. */
type Domain =
  | { readonly kind: 'normal' }
  | { readonly kind: 'between'; readonly low: number; readonly high: number }
  | { readonly kind: 'integers'; readonly bound: number };

export interface Operand {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly domain: Domain;
  /** Does the operation have a gradient with respect to this operand? */
  readonly differentiable: boolean;
}

export interface OpCase {
  readonly op: OpName;
  /** What this case adds to the others of its operation. */
  readonly name: string;
  readonly operands: readonly Operand[];
  readonly build: (...inputs: Tensor[]) => Tensor;
}

const any = (...shape: number[]): Operand => ({
  shape,
  dtype: 'f32',
  domain: { kind: 'normal' },
  differentiable: true,
});
const between = (low: number, high: number, ...shape: number[]): Operand => ({
  ...any(...shape),
  domain: { kind: 'between', low, high },
});
const positive = (...shape: number[]): Operand => between(0.5, 2, ...shape);
const table = (...shape: number[]): Operand => ({ ...between(-1, 1, ...shape), differentiable: false });
const mask = (...shape: number[]): Operand => ({
  shape,
  dtype: 'bool',
  domain: { kind: 'integers', bound: 2 },
  differentiable: false,
});
const indices = (bound: number, ...shape: number[]): Operand => ({
  shape,
  dtype: 'i64',
  domain: { kind: 'integers', bound },
  differentiable: false,
});

type Build = OpCase['build'];
const opCase = (op: OpName, name: string, operands: readonly Operand[], build: Build): OpCase => ({
  op,
  name,
  operands,
  build,
});

/** One case for `f(x)`, on values where it is smooth. */
const unaryCase = (
  op: OpName,
  build: (x: Tensor) => Tensor,
  operand: Operand = any(2, 5),
  name = 'plain',
): OpCase => opCase(op, name, [operand], (x) => build(x!));

/** Equal shapes, and both operands stretched: a scalar, missing leading axes, axes of length 1. */
function broadcastCases(
  op: OpName,
  build: (a: Tensor, b: Tensor) => Tensor,
  second: (...shape: number[]) => Operand = any,
): OpCase[] {
  const named = (name: string, a: Operand, b: Operand) => opCase(op, name, [a, b], (x, y) => build(x!, y!));
  return [
    named('equal shapes', any(2, 3), second(2, 3)),
    named('scalar on the right', any(2, 3), second()),
    named('scalar on the left', any(), second(2, 3)),
    named('missing leading axes', any(2, 3, 4), second(4)),
    named('both stretched', any(2, 1, 4), second(3, 1)),
  ];
}

const matmulCases: OpCase[] = [false, true].flatMap((transposeA) =>
  [false, true].flatMap((transposeB) => {
    const a = transposeA ? [4, 3] : [3, 4];
    const b = transposeB ? [5, 4] : [4, 5];
    const flags = `${transposeA ? 'Aᵀ' : 'A'} ${transposeB ? 'Bᵀ' : 'B'}`;
    const build: Build = (x, y) => ops.matmul(x!, y!, { transposeA, transposeB });
    return [
      opCase('matmul', flags, [any(...a), any(...b)], build),
      opCase('matmul', `${flags} in batches`, [any(2, 3, ...a), any(2, 3, ...b)], build),
    ];
  }),
);

const reductionCases: OpCase[] = Object.entries({ sum: ops.sum, mean: ops.mean }).flatMap(([op, reduce]) => {
  const reduction = (name: string, operand: Operand, build: (x: Tensor) => Tensor) =>
    unaryCase(op as 'sum' | 'mean', build, operand, name);
  return [
    reduction('over all axes', any(3, 4), (x) => reduce(x)),
    reduction('over the last axis', any(3, 4), (x) => reduce(x, -1)),
    reduction('over the last axis, kept', any(2, 3, 4), (x) => reduce(x, -1, true)),
    reduction('over outer axes', any(2, 3, 4), (x) => reduce(x, [0, 2])),
    reduction('over outer axes, kept', any(2, 3, 4), (x) => reduce(x, [0, 2], true)),
  ];
});

/** A product with a weight that is quantised for it. */
function quantizedProduct(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const scales = ops.weightScales(weight, 63);
  return ops.quantizedLinear(x, ops.quantizeWeight(weight, scales), scales, bias);
}

/** Kernels of the models (1, 3 and 5), with and without bias, on an image that is not square. */
const convolutionCases: OpCase[] = [1, 3, 5].flatMap((kernel) => [
  opCase('conv2d', `kernel ${kernel}`, [any(2, 3, 4, 3), any(6, 3, kernel, kernel)], (x, weight) =>
    ops.conv2d(x!, weight!),
  ),
  opCase(
    'conv2d',
    `kernel ${kernel} with bias`,
    [any(2, 3, 4, 3), any(6, 3, kernel, kernel), any(6)],
    (x, weight, bias) => ops.conv2d(x!, weight!, bias),
  ),
  opCase('conv2dWeightGradient', `kernel ${kernel}`, [any(2, 3, 4, 3), any(2, 3, 4, 6)], (x, dy) =>
    ops.conv2dWeightGradient(x!, dy!, kernel),
  ),
  // 16 and 20 channels: a multiple of the block of the blocked layouts, and not one.
  ...[16, 20].flatMap((channels) => [
    opCase(
      'depthwiseConv2d',
      `kernel ${kernel}, ${channels} channels`,
      [any(1, 3, 4, channels), any(channels, 1, kernel, kernel)],
      (x, weight) => ops.depthwiseConv2d(x!, weight!),
    ),
    opCase(
      'depthwiseConv2d',
      `kernel ${kernel}, ${channels} channels, with bias`,
      [any(1, 3, 4, channels), any(channels, 1, kernel, kernel), any(channels)],
      (x, weight, bias) => ops.depthwiseConv2d(x!, weight!, bias),
    ),
    opCase(
      'depthwiseConv2dWeightGradient',
      `kernel ${kernel}, ${channels} channels`,
      [any(1, 3, 4, channels), any(1, 3, 4, channels)],
      (x, dy) => ops.depthwiseConv2dWeightGradient(x!, dy!, kernel),
    ),
  ]),
]);

/** Kernels and where they are put: strides, paddings and sizes that leave pixels over, and pixels that nothing reads. */
const WINDOWS: readonly (readonly [name: string, size: Pair, kernel: Pair, options: WindowOptions])[] = [
  ['kernel 3, stride 2', [5, 6], [3, 3], { stride: 2 }],
  [
    'kernel 3, stride 2, padding after alone',
    [6, 5],
    [3, 3],
    { stride: 2, padding: { before: [0, 0], after: [1, 1] } },
  ],
  ['kernel 3, padding before alone', [3, 4], [3, 3], { padding: { before: [2, 1], after: [0, 0] } }],
  ['kernel 4, stride 2, padding 1', [7, 6], [4, 4], { stride: 2, padding: 1 }],
  ['kernel 2', [3, 4], [2, 2], {}],
  ['kernel 2, stride 2, no padding', [5, 4], [2, 2], { stride: 2, padding: 0 }],
  ['kernel 1×3, stride 1×2', [3, 6], [1, 3], { stride: [1, 2] }],
  ['kernel 5×2, stride 2×3', [7, 8], [5, 2], { stride: [2, 3], padding: [2, 0] }],
  ['kernel 1, stride 2', [3, 5], [1, 1], { stride: 2, padding: 0 }],
  ['kernel 4, stride 2, rows that nothing reads', [7, 5], [4, 4], { stride: 2, padding: 0 }],
];

const windowCases: OpCase[] = WINDOWS.flatMap(([name, size, kernel, options]) => [
  // 3 and 16 channels: with and without whole blocks of the blocked layouts.
  ...[3, 16].map((channels) =>
    opCase(
      'conv2d',
      `${name}, ${channels} channels`,
      [any(1, ...size, channels), any(2, channels, ...kernel), any(2)],
      (x, weight, bias) => ops.conv2d(x!, weight!, bias, options),
    ),
  ),
  opCase(
    'conv2dWeightGradient',
    name,
    [any(2, ...size, 4), any(2, ...positionsOf(size, kernel, windowOf(options, sameWindow(kernel))), 3)],
    (x, dy) => ops.conv2dWeightGradient(x!, dy!, kernel, options),
  ),
  unaryCase('maxPool2d', (x) => ops.maxPool2d(x, { kernel, ...options }), any(2, ...size, 2), name),
  ...[true, false].map((countsPadding) =>
    unaryCase(
      'averagePool2d',
      (x) => ops.averagePool2d(x, { kernel, countsPadding, ...options }),
      any(2, ...size, 2),
      countsPadding ? name : `${name}, without padding`,
    ),
  ),
]);

const attentionCases: OpCase[] = [
  { name: 'one head', heads: 1, scale: 1 },
  { name: 'two heads, scaled', heads: 2, scale: 0.5 },
].flatMap(({ name, heads, scale }) => [
  opCase('attention', name, [any(2, 5, 8), any(2, 5, 8), any(2, 5, 8)], (q, k, v) =>
    ops.attention(q!, k!, v!, { heads, scale }),
  ),
  opCase(
    'attention',
    `${name}, fewer keys than queries`,
    [any(2, 5, 8), any(2, 3, 8), any(2, 3, 8)],
    (q, k, v) => ops.attention(q!, k!, v!, { heads, scale }),
  ),
  opCase(
    'broadcastTo',
    `of attention over one key, ${name}`,
    [any(2, 5, 8), any(2, 1, 8), any(2, 1, 8)],
    (q, k, v) => ops.attention(q!, k!, v!, { heads, scale }),
  ),
  opCase('attentionWeights', name, [any(2, 5, 8), any(2, 3, 8)], (q, k) =>
    ops.attentionWeights(q!, k!, { heads, scale }),
  ),
]);

export const OP_CASES: readonly OpCase[] = [
  unaryCase('input', (x) => x),
  opCase('parameter', 'beside an input', [any(2, 3)], (x) => ops.mul(x!, ops.parameter('weight', [3]))),
  opCase('constant', 'beside an input', [any(2, 3)], (x) => ops.mul(x!, ops.constantOf([3], [1, -2, 0.5]))),

  unaryCase('neg', ops.neg),
  unaryCase('exp', ops.exp),
  unaryCase('log', ops.log, positive(2, 5)),
  unaryCase('sqrt', ops.sqrt, positive(2, 5)),
  unaryCase('reciprocal', ops.reciprocal, positive(2, 5)),
  unaryCase('sin', ops.sin),
  unaryCase('cos', ops.cos),
  unaryCase('tanh', ops.tanh),
  unaryCase('erf', ops.erf),
  unaryCase('sigmoid', ops.sigmoid),
  unaryCase('relu', ops.relu),
  unaryCase('gelu', (x) => ops.gelu(x, 'none'), any(3, 7), 'exact'),
  unaryCase('gelu', (x) => ops.gelu(x, 'tanh'), any(3, 7), 'tanh approximation'),
  unaryCase('geluGate', (x) => ops.geluGate(x, 'none'), any(3, 7), 'exact'),
  unaryCase('geluGate', (x) => ops.geluGate(x, 'tanh'), any(3, 7), 'tanh approximation'),
  unaryCase('cast', (x) => ops.cast(ops.cast(x, 'f64'), 'f32'), any(2, 5), 'to float64 and back'),
  unaryCase('cast', (x) => ops.cast(x, 'f32'), indices(9, 4), 'from int64'),
  unaryCase('cast', (x) => ops.cast(x, 'f32'), mask(6), 'from booleans'),
  unaryCase('cast', (x) => ops.cast(x, 'i64'), between(0, 9, 6), 'to int64, towards zero'),
  unaryCase('stopGradient', (x) => ops.add(ops.stopGradient(x), ops.neg(x))),

  ...broadcastCases('add', ops.add),
  ...broadcastCases('sub', ops.sub),
  ...broadcastCases('mul', ops.mul),
  ...broadcastCases('div', ops.div, positive),
  ...broadcastCases('maximum', ops.maximum),
  ...broadcastCases('minimum', ops.minimum),
  ...broadcastCases('less', ops.less),
  opCase('where', 'equal shapes', [mask(2, 3), any(2, 3), any(2, 3)], (c, a, b) => ops.where(c!, a!, b!)),
  opCase('where', 'all stretched', [mask(3, 1), any(4), any(2, 1, 1)], (c, a, b) => ops.where(c!, a!, b!)),

  ...reductionCases,

  unaryCase('reshape', (x) => ops.reshape(x, [4, 3]), any(2, 6)),
  unaryCase('reshape', (x) => ops.reshape(x, []), any(1, 1), 'to a scalar'),
  unaryCase('transpose', (x) => ops.transpose(x, [1, 0]), any(2, 3), 'matrix'),
  unaryCase('transpose', (x) => ops.transpose(x, [3, 0, 2, 1]), any(2, 3, 4, 5), 'four axes'),
  unaryCase('broadcastTo', (x) => ops.broadcastTo(x, [4, 2, 3]), any(2, 1)),
  unaryCase('broadcastTo', (x) => ops.broadcastTo(x, [2, 3]), any(), 'scalar'),
  unaryCase('slice', (x) => ops.slice(x, 1, 1, 3), any(2, 4, 3), 'inside'),
  unaryCase('slice', (x) => ops.slice(x, -1, 0, 2), any(2, 3), 'from the start'),
  opCase('concat', 'first axis', [any(1, 3), any(2, 3)], (...parts) => ops.concat(parts, 0)),
  opCase('concat', 'last axis, three parts', [any(2, 1), any(2, 3), any(2, 2)], (...parts) =>
    ops.concat(parts, -1),
  ),
  opCase('concat', 'one part twice', [any(2, 3)], (x) => ops.concat([x!, x!], 1)),
  unaryCase('pad', (x) => ops.pad(x, [1, 0], [0, 2]), any(2, 3)),
  unaryCase('reverse', (x) => ops.reverse(x, [1]), any(2, 3), 'one axis'),
  unaryCase('reverse', (x) => ops.reverse(x, [2, 3]), any(2, 3, 3, 4), 'two axes'),
  // Eight draws of five rows: some row is taken twice, so gradients must add up.
  opCase('takeRows', 'one axis of indices', [any(5, 3), indices(5, 8)], (rows, i) => ops.takeRows(rows!, i!)),
  opCase('takeRows', 'two axes of indices', [any(5, 3), indices(5, 2, 4)], (rows, i) =>
    ops.takeRows(rows!, i!),
  ),
  opCase('addRows', 'repeated indices', [any(8, 3), indices(5, 8)], (values, i) =>
    ops.addRows(values!, i!, 5),
  ),

  ...matmulCases,
  opCase('linear', 'matrix', [any(3, 4), any(5, 4)], (x, weight) => ops.linear(x!, weight!)),
  opCase('linear', 'with bias', [any(2, 3, 4), any(5, 4), any(5)], (x, weight, bias) =>
    ops.linear(x!, weight!, bias),
  ),
  opCase('linear', 'two leading axes', [any(2, 3, 4), any(5, 4)], (x, weight) => ops.linear(x!, weight!)),
  unaryCase('weightScales', (x) => ops.weightScales(x, 63), any(5, 4)),
  unaryCase('weightScales', (x) => ops.weightScales(ops.mul(x, 0), 63), any(2, 3), 'of zeros'),
  opCase('quantizeWeight', 'plain', [any(5, 4)], (weight) =>
    ops.quantizeWeight(weight!, ops.weightScales(weight!, 63)),
  ),
  opCase('quantizedLinear', 'matrix', [any(3, 4), any(5, 4)], (x, weight) => quantizedProduct(x!, weight!)),
  opCase('quantizedLinear', 'with bias', [any(2, 3, 4), any(5, 4), any(5)], (x, weight, bias) =>
    quantizedProduct(x!, weight!, bias),
  ),
  opCase(
    'quantizedLinear',
    'two of an image',
    [positive(1, 2, 3, 16), any(5, 16), any(5), any(5, 16)],
    (x, a, bias, b) => ops.sub(quantizedProduct(x!, a!, bias), quantizedProduct(x!, b!)),
  ),
  ...convolutionCases,
  ...windowCases,
  opCase('conv2d', 'then relu', [any(1, 4, 4, 3), any(16, 3, 3, 3), any(16)], (x, weight, bias) =>
    ops.relu(ops.conv2d(x!, weight!, bias, { stride: 2 })),
  ),
  unaryCase('resizeNearest', (x) => ops.resizeNearest(x, 2), any(2, 3, 2, 5)),
  unaryCase('resizeNearest', (x) => ops.resizeNearest(x, [1, 3]), any(1, 2, 3, 16), 'along the width'),

  unaryCase('softmax', ops.softmax, any(2, 3, 5)),
  unaryCase('layerNorm', (x) => ops.layerNorm(x, 1e-6), any(2, 3, 8)),
  opCase('modulatedNorm', 'of tokens', [any(2, 3, 8), any(8), any(8)], (x, scale, shift) =>
    ops.modulatedNorm(x!, { scale: scale!, shift: shift!, eps: 1e-6 }),
  ),
  unaryCase('inverseDeviation', (x) => ops.inverseDeviation(x, 1e-6), any(2, 3, 8)),
  unaryCase('l2Normalize', (x) => ops.l2Normalize(x), any(2, 3, 8)),
  unaryCase('inverseNorm', (x) => ops.inverseNorm(x, 1e-12), any(2, 3, 8)),
  opCase('rotary', 'one head', [any(2, 3, 4), table(3, 2), table(3, 2)], (x, cos, sin) =>
    ops.rotary(x!, cos!, sin!, 1),
  ),
  opCase('rotary', 'two heads', [any(2, 3, 8), table(3, 2), table(3, 2)], (x, cos, sin) =>
    ops.rotary(x!, cos!, sin!, 2),
  ),
  ...attentionCases,
];

/** A case as a graph over leaves `x0`, `x1` …, with their values. */
export interface BuiltCase {
  readonly inputs: readonly Tensor[];
  readonly y: Tensor;
  /** Values of the inputs, and of the parameters unless these are known. */
  readonly feeds: ReadonlyMap<string, HostTensor>;
  /** Values of the parameters where they are known. */
  readonly weights: ReadonlyMap<string, HostTensor>;
}

/** The title of a case in test reports. */
export const titleOf = ({ op, name }: OpCase): string => `${op}, ${name}`;

/**
 * Traces a case and draws its values; the same case always gets the same ones.
 *
 * @param parameters - `'known'` makes parameters with values of their own of all float operands but the first, which is
 * what weights are at inference; `'fed'` leaves them inputs
 */
export function buildCase(opCase: OpCase, parameters: 'fed' | 'known' = 'fed'): BuiltCase {
  const key = fold(randomKey(0), titleOf(opCase));
  const feeds = new Map<string, HostTensor>();
  const weights = parameters === 'known' ? new Map<string, HostTensor>() : feeds;
  const inputs = opCase.operands.map((operand, i) => {
    const isWeight = parameters === 'known' && i > 0 && operand.dtype === 'f32';
    const { shape, dtype } = operand;
    (isWeight ? weights : feeds).set(`x${i}`, drawOperand(operand, fold(key, i)));
    return isWeight ? ops.parameter(`x${i}`, shape) : ops.input(`x${i}`, shape, dtype);
  });
  if (opCase.op === 'parameter') weights.set('weight', tensorOf('f32', [3], [0.25, -1, 2]));
  return { inputs, y: opCase.build(...inputs), feeds, weights };
}

/** Has the operation a gradient, and the case a float value and an operand to differentiate it by? */
export function hasGradient(opCase: OpCase): boolean {
  return (
    !('reason' in VJP[opCase.op]) &&
    isFloat(buildCase(opCase).y.dtype) &&
    opCase.operands.some(({ differentiable }) => differentiable)
  );
}

/** Σ y · w with fixed random w, so that every element of y counts differently. */
export function weightedSum(y: Tensor): Tensor {
  const weights = tensorOf('f32', y.shape, normal(randomKey(1), sizeOf(y.shape)));
  return ops.sum(ops.mul(y, ops.constant(weights)));
}

function drawOperand({ shape, dtype, domain }: Operand, key: RandomKey): HostTensor {
  const count = sizeOf(shape);
  switch (domain.kind) {
    case 'normal':
      return tensorOf(dtype, shape, normal(key, count));
    case 'between': {
      const { low, high } = domain;
      return tensorOf(
        dtype,
        shape,
        Array.from(uniform(key, count), (u) => low + (high - low) * u),
      );
    }
    case 'integers':
      return tensorOf(dtype, shape, randomIntegers(key, count, domain.bound));
  }
}
