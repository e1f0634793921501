import { describe, expect, it } from 'vitest';
import { OP_CASES } from '../../../test/support/op-cases.ts';
import { DTypeError, ShapeError, UditError } from '../../core/errors.ts';
import { EVALUATE } from '../interp/evaluate.ts';
import { LOWER } from '../onnx/lower.ts';
import { checkGraph, graphOf } from './graph.ts';
import { INFER } from './infer.ts';
import * as ops from './operators.ts';
import type { OpName, Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';
import { VJP } from './vjp.ts';

const f32 = (...shape: number[]): Tensor => ops.input('x', shape);
const f64 = (...shape: number[]): Tensor => ops.input('x', shape, 'f64');
const i64 = (...shape: number[]): Tensor => ops.input('x', shape, 'i64');
const i8 = (...shape: number[]): Tensor => ops.input('x', shape, 'i8');
const bool = (...shape: number[]): Tensor => ops.input('x', shape, 'bool');

/** What each operation refuses. */
const ERROR_CASES: readonly (readonly [op: OpName, name: string, build: () => Tensor])[] = [
  ['constant', 'too many values', () => ops.constantOf([2], [1, 2, 3])],
  ...Object.entries({
    neg: ops.neg,
    exp: ops.exp,
    log: ops.log,
    sqrt: ops.sqrt,
    reciprocal: ops.reciprocal,
    sin: ops.sin,
    cos: ops.cos,
    tanh: ops.tanh,
    erf: ops.erf,
    sigmoid: ops.sigmoid,
    relu: ops.relu,
    gelu: (x: Tensor) => ops.gelu(x, 'none'),
    geluGate: (x: Tensor) => ops.geluGate(x, 'none'),
    stopGradient: ops.stopGradient,
    softmax: ops.softmax,
    layerNorm: (x: Tensor) => ops.layerNorm(x, 1e-6),
    inverseDeviation: (x: Tensor) => ops.inverseDeviation(x, 1e-6),
    l2Normalize: (x: Tensor) => ops.l2Normalize(x),
    inverseNorm: (x: Tensor) => ops.inverseNorm(x, 1e-12),
  }).map(([op, build]) => [op as OpName, 'integers', () => build(i64(2, 3))] as const),
  ['cast', 'no operand', () => ops.rebuild(ops.cast(f32(2), 'f64'), [])],
  ['add', 'shapes', () => ops.add(f32(2, 3), f32(2))],
  ['add', 'dtypes', () => ops.add(f32(2), i64(2))],
  ['sub', 'shapes', () => ops.sub(f32(4), f32(3))],
  ['mul', 'shapes', () => ops.mul(f32(2, 1, 3), f32(4, 2))],
  ['div', 'dtypes', () => ops.div(f32(2), f64(2))],
  ['maximum', 'shapes', () => ops.maximum(f32(4), f32(3))],
  ['minimum', 'shapes', () => ops.minimum(f32(4), f32(3))],
  ['less', 'dtypes', () => ops.less(i64(4), f32(4))],
  ['where', 'condition', () => ops.where(f32(2), f32(2), f32(2))],
  ['where', 'dtypes', () => ops.where(bool(2), f32(2), i64(2))],
  ['where', 'shapes', () => ops.where(bool(3), f32(2), f32(2))],
  ['sum', 'axis', () => ops.sum(f32(2, 3), 2)],
  ['sum', 'one axis twice', () => ops.sum(f32(2, 3), [1, -1])],
  ['mean', 'integers', () => ops.mean(i64(2, 3))],
  ['reshape', 'sizes', () => ops.reshape(f32(2, 3), [4])],
  ['transpose', 'order', () => ops.transpose(f32(2, 3), [0, 0])],
  ['broadcastTo', 'stretched axis', () => ops.broadcastTo(f32(2), [3])],
  ['broadcastTo', 'fewer axes', () => ops.broadcastTo(f32(2, 1), [1])],
  ['slice', 'range', () => ops.slice(f32(2, 3), 1, 1, 4)],
  ['concat', 'other axis', () => ops.concat([f32(2, 3), f32(3, 3)], 1)],
  ['concat', 'number of axes', () => ops.concat([f32(2, 3), f32(2)], 1)],
  ['concat', 'dtypes', () => ops.concat([f32(2), i64(2)], 0)],
  ['pad', 'amounts', () => ops.pad(f32(2, 3), [1], [1])],
  ['reverse', 'axis', () => ops.reverse(f32(2), [1])],
  ['takeRows', 'indices', () => ops.takeRows(f32(5, 3), f32(2))],
  ['addRows', 'indices', () => ops.addRows(f32(2, 3), bool(2), 5)],
  ['addRows', 'rows', () => ops.addRows(f32(2, 3), i64(4), 5)],
  ['matmul', 'inner axis', () => ops.matmul(f32(2, 3), f32(2, 3))],
  ['matmul', 'batch axes', () => ops.matmul(f32(2, 2, 3), f32(3, 3, 2))],
  ['matmul', 'vector', () => ops.matmul(f32(2, 3), f32(3), { transposeB: true })],
  ['matmul', 'dtypes', () => ops.matmul(f32(2, 3), f64(3, 2))],
  ['linear', 'width', () => ops.linear(f32(2, 3), f32(4, 5))],
  ['linear', 'bias', () => ops.linear(f32(2, 3), f32(4, 3), f32(3))],
  ['weightScales', 'axes', () => ops.weightScales(f32(2, 3, 4), 63)],
  ['quantizeWeight', 'scales', () => ops.quantizeWeight(f32(4, 3), f32(3))],
  [
    'modulatedNorm',
    'scale',
    () => ops.modulatedNorm(f32(2, 3), { scale: f32(2, 3), shift: f32(3), eps: 1e-6 }),
  ],
  ['modulatedNorm', 'shift', () => ops.modulatedNorm(f32(2, 3), { scale: f32(3), shift: f32(1), eps: 1e-6 })],
  ['quantizedLinear', 'float weight', () => ops.quantizedLinear(f32(2, 3), f32(3, 4), f32(4))],
  ['quantizedLinear', 'width', () => ops.quantizedLinear(f32(2, 5), i8(3, 4), f32(4))],
  ['quantizedLinear', 'scales', () => ops.quantizedLinear(f32(2, 3), i8(3, 4), f32(3))],
  ['quantizedLinear', 'bias', () => ops.quantizedLinear(f32(2, 3), i8(3, 4), f32(4), f32(3))],
  ['conv2d', 'channels', () => ops.conv2d(f32(1, 4, 4, 3), f32(8, 4, 3, 3))],
  [
    'conv2d',
    'image too small',
    () => ops.conv2d(f32(1, 4, 2, 3), f32(8, 3, 3, 3), undefined, { padding: 0 }),
  ],
  ['conv2d', 'padding', () => ops.conv2d(f32(1, 4, 4, 3), f32(8, 3, 2, 2), undefined, { padding: 2 })],
  ['conv2d', 'stride', () => ops.conv2d(f32(1, 4, 4, 3), f32(8, 3, 2, 2), undefined, { stride: [2, 0] })],
  ['conv2d', 'axes', () => ops.conv2d(f32(4, 4, 3), f32(8, 3, 3, 3))],
  ['conv2dWeightGradient', 'image', () => ops.conv2dWeightGradient(f32(1, 4, 4, 3), f32(1, 4, 5, 3), 3)],
  ['conv2dWeightGradient', 'axes', () => ops.conv2dWeightGradient(f32(1, 4, 4, 3), f32(1, 4, 4), 3)],
  ['depthwiseConv2d', 'channels', () => ops.depthwiseConv2d(f32(1, 4, 4, 3), f32(4, 1, 3, 3))],
  ['depthwiseConv2d', 'dense filter', () => ops.depthwiseConv2d(f32(1, 4, 4, 3), f32(3, 3, 3, 3))],
  [
    'depthwiseConv2dWeightGradient',
    'channels',
    () => ops.depthwiseConv2dWeightGradient(f32(1, 4, 4, 3), f32(1, 4, 4, 4), 3),
  ],
  ['maxPool2d', 'axes', () => ops.maxPool2d(f32(4, 4, 3), { kernel: 2 })],
  ['maxPool2d', 'integers', () => ops.maxPool2d(i64(1, 4, 4, 3), { kernel: 2 })],
  ['averagePool2d', 'padding', () => ops.averagePool2d(f32(1, 4, 4, 3), { kernel: 2, padding: 2 })],
  ['resizeNearest', 'factor', () => ops.resizeNearest(f32(1, 4, 4, 3), [2, 0.5])],
  ['rotary', 'tables', () => ops.rotary(f32(2, 3, 8), f32(3, 4), f32(3, 4), 2)],
  ['rotary', 'dtypes', () => ops.rotary(f32(2, 3, 8), f64(3, 2), f64(3, 2), 2)],
  [
    'attention',
    'values',
    () => ops.attention(f32(2, 5, 8), f32(2, 3, 8), f32(2, 4, 8), { heads: 2, scale: 1 }),
  ],
  [
    'attentionWeights',
    'heads',
    () => ops.attentionWeights(f32(2, 5, 8), f32(2, 3, 8), { heads: 3, scale: 1 }),
  ],
  [
    'attentionWeights',
    'width',
    () => ops.attentionWeights(f32(2, 5, 8), f32(2, 3, 4), { heads: 2, scale: 1 }),
  ],
  [
    'attentionWeights',
    'batch',
    () => ops.attentionWeights(f32(2, 5, 8), f32(1, 5, 8), { heads: 2, scale: 1 }),
  ],
];

function messageOf(build: () => Tensor): string {
  try {
    build();
  } catch (error) {
    expect(error).toBeInstanceOf(UditError);
    return (error as UditError).message;
  }
  return 'accepted';
}

describe('what operations refuse', () => {
  it('with these messages', () => {
    const lines = ERROR_CASES.map(([op, name, build]) => `${op}, ${name}:\n  ${messageOf(build)}`);
    expect(lines.join('\n')).toMatchInlineSnapshot(`
      "constant, too many values:
        ShapeError: tensorOf: 3 values do not fill shape [2] of 2 elements
      neg, integers:
        DTypeError: neg: operand 0 is i64, not f32 or f64
      exp, integers:
        DTypeError: exp: operand 0 is i64, not f32 or f64
      log, integers:
        DTypeError: log: operand 0 is i64, not f32 or f64
      sqrt, integers:
        DTypeError: sqrt: operand 0 is i64, not f32 or f64
      reciprocal, integers:
        DTypeError: reciprocal: operand 0 is i64, not f32 or f64
      sin, integers:
        DTypeError: sin: operand 0 is i64, not f32 or f64
      cos, integers:
        DTypeError: cos: operand 0 is i64, not f32 or f64
      tanh, integers:
        DTypeError: tanh: operand 0 is i64, not f32 or f64
      erf, integers:
        DTypeError: erf: operand 0 is i64, not f32 or f64
      sigmoid, integers:
        DTypeError: sigmoid: operand 0 is i64, not f32 or f64
      relu, integers:
        DTypeError: relu: operand 0 is i64, not f32 or f64
      gelu, integers:
        DTypeError: gelu: operand 0 is i64, not f32 or f64
      geluGate, integers:
        DTypeError: geluGate: operand 0 is i64, not f32 or f64
      stopGradient, integers:
        DTypeError: stopGradient: operand 0 is i64, not f32 or f64
      softmax, integers:
        DTypeError: softmax: operand 0 is i64, not f32 or f64
      layerNorm, integers:
        DTypeError: layerNorm: operand 0 is i64, not f32 or f64
      inverseDeviation, integers:
        DTypeError: inverseDeviation: operand 0 is i64, not f32 or f64
      l2Normalize, integers:
        DTypeError: l2Normalize: operand 0 is i64, not f32 or f64
      inverseNorm, integers:
        DTypeError: inverseNorm: operand 0 is i64, not f32 or f64
      cast, no operand:
        ShapeError: cast: operand 0 is missing: 0 were given
      add, shapes:
        ShapeError: add: shapes [2,3] and [2] do not broadcast: axis -1 is 3 and 2
        fix: reshape one of them so that the axes are equal or 1
      add, dtypes:
        DTypeError: add: operands are f32 and i64
        fix: cast one of them
      sub, shapes:
        ShapeError: sub: shapes [4] and [3] do not broadcast: axis -1 is 4 and 3
        fix: reshape one of them so that the axes are equal or 1
      mul, shapes:
        ShapeError: mul: shapes [2,1,3] and [4,2] do not broadcast: axis -1 is 3 and 2
        fix: reshape one of them so that the axes are equal or 1
      div, dtypes:
        DTypeError: div: operands are f32 and f64
        fix: cast one of them
      maximum, shapes:
        ShapeError: maximum: shapes [4] and [3] do not broadcast: axis -1 is 4 and 3
        fix: reshape one of them so that the axes are equal or 1
      minimum, shapes:
        ShapeError: minimum: shapes [4] and [3] do not broadcast: axis -1 is 4 and 3
        fix: reshape one of them so that the axes are equal or 1
      less, dtypes:
        DTypeError: less: operands are i64 and f32
        fix: cast one of them
      where, condition:
        DTypeError: where: the condition is f32, not bool
      where, dtypes:
        DTypeError: where: operands are f32 and i64
        fix: cast one of them
      where, shapes:
        ShapeError: where: shapes [3] and [2] do not broadcast: axis -1 is 3 and 2
        fix: reshape one of them so that the axes are equal or 1
      sum, axis:
        ShapeError: sum: axis 2 is outside a tensor of 2 axes
      sum, one axis twice:
        ShapeError: sum: axes [1,1] name one axis twice
      mean, integers:
        DTypeError: mean: operand 0 is i64, not f32 or f64
      reshape, sizes:
        ShapeError: reshape: [2,3] has 6 elements, [4] has 4
      transpose, order:
        ShapeError: transpose: order [0,0] is not a permutation of the 2 axes of [2,3]
      broadcastTo, stretched axis:
        ShapeError: broadcastTo: shapes [2] and [3] do not broadcast: axis -1 is 2 and 3
        fix: reshape one of them so that the axes are equal or 1
      broadcastTo, fewer axes:
        ShapeError: broadcastTo: [2,1] does not broadcast to [1]
      slice, range:
        ShapeError: slice: range 1…4 is not inside axis 1 of length 3
      concat, other axis:
        ShapeError: concat: [2,3] and [3,3] differ on an axis other than 1
      concat, number of axes:
        ShapeError: concat: [2,3] and [2] differ on an axis other than 1
      concat, dtypes:
        DTypeError: concat: operands are f32 and i64
        fix: cast one of them
      pad, amounts:
        ShapeError: pad: 1 and 1 amounts for 2 axes
      reverse, axis:
        ShapeError: reverse: axis 1 is outside a tensor of 1 axes
      takeRows, indices:
        DTypeError: takeRows: the index operand is f32, not i64
      addRows, indices:
        DTypeError: addRows: the index operand is bool, not i64
      addRows, rows:
        ShapeError: addRows: axis n differs: [2,3] has 2, [4] has 4
      matmul, inner axis:
        ShapeError: matmul: inner axis differs: [2,3] gives 3, [2,3] gives 2
      matmul, batch axes:
        ShapeError: matmul: batch axes differ: [2,2,3] and [3,3,2]
      matmul, vector:
        ShapeError: matmul: operands [2,3] and [3] must both have at least 2 axes
      matmul, dtypes:
        DTypeError: matmul: operands are f32 and f64
        fix: cast one of them
      linear, width:
        ShapeError: linear: axis I differs: [2,3] has 3, [4,5] has 5
      linear, bias:
        ShapeError: linear: bias [3] does not fit 4 outputs
      weightScales, axes:
        ShapeError: weightScales: [2,3,4] has 3 axes, not 2
      quantizeWeight, scales:
        ShapeError: quantizeWeight: scale [3] does not fit 4 outputs
      modulatedNorm, scale:
        ShapeError: modulatedNorm: scale [2,3] does not fit 3 outputs
      modulatedNorm, shift:
        ShapeError: modulatedNorm: shift [1] does not fit 3 outputs
      quantizedLinear, float weight:
        DTypeError: quantizedLinear: the weight is f32, not i8
      quantizedLinear, width:
        ShapeError: quantizedLinear: axis I differs: [2,5] has 5, [3,4] has 3
      quantizedLinear, scales:
        ShapeError: quantizedLinear: scale [3] does not fit 4 outputs
      quantizedLinear, bias:
        ShapeError: quantizedLinear: bias [3] does not fit 4 outputs
      conv2d, channels:
        ShapeError: conv2d: axis I differs: [1,4,4,3] has 3, [8,4,3,3] has 4
      conv2d, image too small:
        ShapeError: conv2d: a kernel of 3 does not fit the width 2 with 0 and 0 pixels of padding
        fix: use a kernel of at most 2
      conv2d, padding:
        ShapeError: conv2d: along the height, 2 and 2 pixels of padding do not fit a kernel of 2
        fix: use 0 to 1; pad() adds any number of zeros to an image
      conv2d, stride:
        ShapeError: conv2d: along the width, the kernel is 2 and the stride 0
        fix: use whole numbers from 1
      conv2d, axes:
        ShapeError: conv2d: [4,4,3] has 3 axes, not 4
      conv2dWeightGradient, image:
        ShapeError: conv2dWeightGradient: the gradient is [1,4,5,3], the convolution of [1,4,4,3] gives [1,4,4,3]
      conv2dWeightGradient, axes:
        ShapeError: conv2dWeightGradient: [1,4,4] has 3 axes, not 4
      depthwiseConv2d, channels:
        ShapeError: depthwiseConv2d: axis C differs: [1,4,4,3] has 3, [4,1,3,3] has 4
      depthwiseConv2d, dense filter:
        ShapeError: depthwiseConv2d: a filter has 3 input channels, not 1
      depthwiseConv2dWeightGradient, channels:
        ShapeError: depthwiseConv2dWeightGradient: image and gradient differ: [1,4,4,3] and [1,4,4,4]
      maxPool2d, axes:
        ShapeError: maxPool2d: [4,4,3] has 3 axes, not 4
      maxPool2d, integers:
        DTypeError: maxPool2d: operand 0 is i64, not f32 or f64
      averagePool2d, padding:
        ShapeError: averagePool2d: along the height, 2 and 2 pixels of padding do not fit a kernel of 2
        fix: use 0 to 1; pad() adds any number of zeros to an image
      resizeNearest, factor:
        ShapeError: resizeNearest: the factor is 2×0.5
        fix: use whole numbers from 1
      rotary, tables:
        ShapeError: rotary: tables [3,4] and [3,4] do not fit [2,3,8] with 2 heads: both must be [3,2]
      rotary, dtypes:
        DTypeError: rotary: operands are f32 and f64
        fix: cast one of them
      attention, values:
        ShapeError: attention: keys [2,3,8] and values [2,4,8] differ
      attentionWeights, heads:
        ShapeError: attentionWeights: width 8 is not a multiple of 3 heads
      attentionWeights, width:
        ShapeError: attentionWeights: axis D differs: [2,5,8] has 8, [2,3,4] has 4
      attentionWeights, batch:
        ShapeError: attentionWeights: axis B differs: [2,5,8] has 2, [1,5,8] has 1"
    `);
  });

  it.each(ERROR_CASES)('%s: %s', (_, __, build) => {
    expect(build).toThrow();
    expect([ShapeError, DTypeError].some((kind) => messageOf(build).startsWith(kind.name))).toBe(true);
  });
});

describe('the tables are complete', () => {
  const operations = Object.keys(VJP) as OpName[];
  const without = (has: (op: OpName) => boolean): OpName[] => operations.filter((op) => !has(op));

  it('every operation has a forward case', () => {
    const covered = new Set(OP_CASES.map(({ op }) => op));
    expect(without((op) => covered.has(op))).toEqual([]);
  });

  it('every case contains its operation', () => {
    for (const { op, operands, build } of OP_CASES) {
      const y = build(...operands.map(({ shape, dtype }, i) => ops.input(`x${i}`, shape, dtype)));
      const graph = graphOf({ y });
      checkGraph(graph);
      expect(topologicalOrder(graph.values()).map((tensor) => tensor.op)).toContain(op);
    }
  });

  it('every operation that infers has an error case', () => {
    const covered = new Set(ERROR_CASES.map(([op]) => op));
    expect(without((op) => covered.has(op))).toEqual(['input', 'parameter']); // made with their shape
  });

  // The compiler asks for these too; here in case a table is ever typed more loosely.
  it('every operation has a rule for float64 and one for ONNX', () => {
    expect(without((op) => op in EVALUATE)).toEqual(['input', 'parameter']); // fed
    expect(without((op) => op in INFER)).toEqual(['input', 'parameter']);
    expect(without((op) => op in LOWER)).toEqual([]);
  });
});
