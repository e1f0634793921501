/** @file Shape and dtype rules: what each operation accepts and what it makes. */
import type { DType } from '../../core/dtype.ts';
import { isFloat } from '../../core/dtype.ts';
import { DTypeError, ShapeError } from '../../core/errors.ts';
import { broadcastShapes, formatShape, type Shape, sameShape, sizeOf } from '../../core/shape.ts';
import type { OpName, OpParams, PoolParams, Tensor } from './tensor.ts';
import { expectWindow, type Pair, pairOf, positionsOf, sameWindow, type Window } from './window.ts';

export interface Inferred {
  readonly shape: Shape;
  readonly dtype: DType;
}

type InferRule<O extends OpName> = (inputs: readonly Tensor[], params: OpParams[O], op: O) => Inferred;

/** Leaves are made with their shape; they have nothing to infer from. */
type Leaf = 'input' | 'parameter';

const sameAsInput = (inputs: readonly Tensor[], _: unknown, op: OpName): Inferred => {
  const x = floatOperand(inputs, 0, op);
  return { shape: x.shape, dtype: x.dtype };
};

const elementwise = (inputs: readonly Tensor[], _: unknown, op: OpName): Inferred => {
  const [a, b] = [operand(inputs, 0, op), operand(inputs, 1, op)];
  expectSameDtype(a, b, op);
  return { shape: broadcastShapes(a.shape, b.shape, op), dtype: a.dtype };
};

const reduction = (inputs: readonly Tensor[], { axes, keepDims }: OpParams['sum'], op: OpName): Inferred => {
  const x = floatOperand(inputs, 0, op);
  expectAxesInRange(axes, x.shape.length, op);
  if (new Set(axes).size !== axes.length) {
    throw new ShapeError({ where: op, problem: `axes ${formatShape(axes)} name one axis twice` });
  }
  const shape = keepDims
    ? x.shape.map((length, axis) => (axes.includes(axis) ? 1 : length))
    : x.shape.filter((_, axis) => !axes.includes(axis));
  return { shape, dtype: x.dtype };
};

const keptLastAxis = (inputs: readonly Tensor[], _: unknown, op: OpName): Inferred => {
  const x = floatOperand(inputs, 0, op);
  return { shape: [...x.shape.slice(0, -1), 1], dtype: x.dtype };
};

const pooling = (inputs: readonly Tensor[], params: PoolParams, op: OpName): Inferred => {
  const x = floatOperand(inputs, 0, op);
  expectRank(x, 4, op);
  return { shape: windowed(x, params.kernel, params, x.shape[3]!, op), dtype: x.dtype };
};

export const INFER: { readonly [O in Exclude<OpName, Leaf>]: InferRule<O> } = {
  constant: (_, { value }) => ({ shape: value.shape, dtype: value.dtype }),
  neg: sameAsInput,
  exp: sameAsInput,
  log: sameAsInput,
  sqrt: sameAsInput,
  reciprocal: sameAsInput,
  sin: sameAsInput,
  cos: sameAsInput,
  tanh: sameAsInput,
  erf: sameAsInput,
  sigmoid: sameAsInput,
  relu: sameAsInput,
  gelu: sameAsInput,
  geluGate: sameAsInput,
  stopGradient: sameAsInput,
  cast: (inputs, { dtype }, op) => ({ shape: operand(inputs, 0, op).shape, dtype }),
  add: elementwise,
  sub: elementwise,
  mul: elementwise,
  div: elementwise,
  maximum: elementwise,
  minimum: elementwise,
  less: (inputs, params, op) => ({ ...elementwise(inputs, params, op), dtype: 'bool' }),
  where: (inputs, _, op) => {
    const [condition, a, b] = [operand(inputs, 0, op), operand(inputs, 1, op), operand(inputs, 2, op)];
    if (condition.dtype !== 'bool') throw wrongDtype(op, 'the condition', condition.dtype, 'bool');
    expectSameDtype(a, b, op);
    const chosen = broadcastShapes(a.shape, b.shape, op);
    return { shape: broadcastShapes(condition.shape, chosen, op), dtype: a.dtype };
  },
  sum: reduction,
  mean: reduction,
  reshape: (inputs, { shape }, op) => {
    const x = operand(inputs, 0, op);
    if (sizeOf(shape) !== sizeOf(x.shape)) {
      throw new ShapeError({
        where: op,
        problem: `${formatShape(x.shape)} has ${sizeOf(x.shape)} elements, ${formatShape(shape)} has ${sizeOf(shape)}`,
      });
    }
    return { shape, dtype: x.dtype };
  },
  transpose: (inputs, { order }, op) => {
    const x = operand(inputs, 0, op);
    const isPermutation = order.length === x.shape.length && x.shape.every((_, axis) => order.includes(axis));
    if (!isPermutation) {
      throw new ShapeError({
        where: op,
        problem: `order ${formatShape(order)} is not a permutation of the ${x.shape.length} axes of ${formatShape(x.shape)}`,
      });
    }
    return { shape: order.map((axis) => x.shape[axis]!), dtype: x.dtype };
  },
  broadcastTo: (inputs, { shape }, op) => {
    const x = operand(inputs, 0, op);
    if (!sameShape(broadcastShapes(x.shape, shape, op), shape)) {
      throw new ShapeError({
        where: op,
        problem: `${formatShape(x.shape)} does not broadcast to ${formatShape(shape)}`,
      });
    }
    return { shape, dtype: x.dtype };
  },
  slice: (inputs, { axis, start, end }, op) => {
    const x = operand(inputs, 0, op);
    expectAxesInRange([axis], x.shape.length, op);
    const length = x.shape[axis]!;
    if (!(0 <= start && start < end && end <= length)) {
      throw new ShapeError({
        where: op,
        problem: `range ${start}…${end} is not inside axis ${axis} of length ${length}`,
      });
    }
    return { shape: x.shape.with(axis, end - start), dtype: x.dtype };
  },
  concat: (inputs, { axis }, op) => {
    const first = operand(inputs, 0, op);
    expectAxesInRange([axis], first.shape.length, op);
    for (const other of inputs) {
      expectSameDtype(first, other, op);
      const fits =
        other.shape.length === first.shape.length &&
        sameShape(first.shape.with(axis, 0), other.shape.with(axis, 0));
      if (!fits) {
        throw new ShapeError({
          where: op,
          problem: `${formatShape(first.shape)} and ${formatShape(other.shape)} differ on an axis other than ${axis}`,
        });
      }
    }
    const length = inputs.reduce((total, input) => total + input.shape[axis]!, 0);
    return { shape: first.shape.with(axis, length), dtype: first.dtype };
  },
  pad: (inputs, { before, after }, op) => {
    const x = floatOperand(inputs, 0, op);
    if (before.length !== x.shape.length || after.length !== x.shape.length) {
      throw new ShapeError({
        where: op,
        problem: `${before.length} and ${after.length} amounts for ${x.shape.length} axes`,
      });
    }
    return { shape: x.shape.map((length, axis) => length + before[axis]! + after[axis]!), dtype: x.dtype };
  },
  reverse: (inputs, { axes }, op) => {
    const x = floatOperand(inputs, 0, op);
    expectAxesInRange(axes, x.shape.length, op);
    return { shape: x.shape, dtype: x.dtype };
  },
  takeRows: (inputs, _, op) => {
    const [table, indices] = [floatOperand(inputs, 0, op), operand(inputs, 1, op)];
    if (indices.dtype !== 'i64') throw wrongDtype(op, 'the index operand', indices.dtype, 'i64');
    return { shape: [...indices.shape, ...table.shape.slice(1)], dtype: table.dtype };
  },
  addRows: (inputs, { rows }, op) => {
    const [values, indices] = [floatOperand(inputs, 0, op), operand(inputs, 1, op)];
    if (indices.dtype !== 'i64') throw wrongDtype(op, 'the index operand', indices.dtype, 'i64');
    expectRank(indices, 1, op);
    if (values.shape[0] !== indices.shape[0]) throw axisDiffers(op, 'n', values, indices, 0, 0);
    return { shape: [rows, ...values.shape.slice(1)], dtype: values.dtype };
  },
  matmul: (inputs, { transposeA, transposeB }, op) => {
    const [a, b] = floatPair(inputs, op);
    if (a.shape.length < 2 || b.shape.length < 2) {
      throw new ShapeError({
        where: op,
        problem: `operands ${formatShape(a.shape)} and ${formatShape(b.shape)} must both have at least 2 axes`,
      });
    }
    if (!sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2))) {
      throw new ShapeError({
        where: op,
        problem: `batch axes differ: ${formatShape(a.shape)} and ${formatShape(b.shape)}`,
      });
    }
    const [rows, inner] = matrixSizes(a, transposeA);
    const [innerB, columns] = matrixSizes(b, transposeB);
    if (inner !== innerB) {
      throw new ShapeError({
        where: op,
        problem: `inner axis differs: ${formatShape(a.shape)} gives ${inner}, ${formatShape(b.shape)} gives ${innerB}`,
      });
    }
    return { shape: [...a.shape.slice(0, -2), rows, columns], dtype: a.dtype };
  },
  linear: (inputs, _, op) => {
    const [x, weight] = floatPair(inputs, op);
    expectRank(weight, 2, op);
    const [width, inner] = weight.shape as [number, number];
    if (x.shape.at(-1) !== inner) throw axisDiffers(op, 'I', x, weight, -1, 1);
    expectBias(inputs[2], width, op);
    return { shape: [...x.shape.slice(0, -1), width], dtype: x.dtype };
  },
  weightScales: (inputs, _, op) => {
    const weight = floatOperand(inputs, 0, op);
    expectRank(weight, 2, op);
    return { shape: [weight.shape[0]!], dtype: weight.dtype };
  },
  quantizeWeight: (inputs, _, op) => {
    const [weight, scales] = floatPair(inputs, op);
    expectRank(weight, 2, op);
    const [outputs, inner] = weight.shape as [number, number];
    expectPerOutput(scales, 'scale', outputs, op);
    return { shape: [inner, outputs], dtype: 'i8' };
  },
  quantizedLinear: (inputs, _, op) => {
    const [x, weight] = [floatOperand(inputs, 0, op), operand(inputs, 1, op)];
    if (weight.dtype !== 'i8') throw wrongDtype(op, 'the weight', weight.dtype, 'i8');
    expectRank(weight, 2, op);
    const [inner, outputs] = weight.shape as [number, number];
    if (x.shape.at(-1) !== inner) throw axisDiffers(op, 'I', x, weight, -1, 0);
    const scales = floatOperand(inputs, 2, op);
    expectSameDtype(x, scales, op);
    expectPerOutput(scales, 'scale', outputs, op);
    expectBias(inputs[3], outputs, op);
    return { shape: [...x.shape.slice(0, -1), outputs], dtype: x.dtype };
  },
  conv2d: (inputs, { window }, op) => {
    const [x, weight] = floatPair(inputs, op);
    expectRank(x, 4, op);
    expectRank(weight, 4, op);
    const [outputs, width, ...kernel] = weight.shape as [number, number, number, number];
    if (x.shape[3] !== width) throw axisDiffers(op, 'I', x, weight, 3, 1);
    expectBias(inputs[2], outputs, op);
    return { shape: windowed(x, kernel, window ?? sameWindow(kernel), outputs, op), dtype: x.dtype };
  },
  conv2dWeightGradient: (inputs, params, op) => {
    const [x, dy] = imagePair(inputs, op);
    const kernel = pairOf(params.kernel);
    const expected = windowed(x, kernel, params.window ?? sameWindow(kernel), dy.shape[3]!, op);
    if (!sameShape(dy.shape, expected)) {
      throw new ShapeError({
        where: op,
        problem: `the gradient is ${formatShape(dy.shape)}, the convolution of ${formatShape(x.shape)} gives ${formatShape(expected)}`,
      });
    }
    return { shape: [dy.shape[3]!, x.shape[3]!, ...kernel], dtype: x.dtype };
  },
  depthwiseConv2d: (inputs, _, op) => {
    const [x, weight] = floatPair(inputs, op);
    expectRank(x, 4, op);
    expectKernel(weight, op);
    if (x.shape[3] !== weight.shape[0]) throw axisDiffers(op, 'C', x, weight, 3, 0);
    if (weight.shape[1] !== 1) {
      throw new ShapeError({ where: op, problem: `a filter has ${weight.shape[1]} input channels, not 1` });
    }
    expectBias(inputs[2], weight.shape[0]!, op);
    return { shape: x.shape, dtype: x.dtype };
  },
  depthwiseConv2dWeightGradient: (inputs, { kernel }, op) => {
    const [x, dy] = imagePair(inputs, op);
    if (!sameShape(x.shape, dy.shape)) {
      throw new ShapeError({
        where: op,
        problem: `image and gradient differ: ${formatShape(x.shape)} and ${formatShape(dy.shape)}`,
      });
    }
    return { shape: [x.shape[3]!, 1, kernel, kernel], dtype: x.dtype };
  },
  maxPool2d: pooling,
  averagePool2d: pooling,
  resizeNearest: (inputs, { factor }, op) => {
    const x = floatOperand(inputs, 0, op);
    expectRank(x, 4, op);
    if (!factor.every((times) => Number.isInteger(times) && times >= 1)) {
      throw new ShapeError({
        where: op,
        problem: `the factor is ${factor.join('×')}`,
        fix: 'use whole numbers from 1',
      });
    }
    const [batch, height, width, channels] = x.shape as [number, number, number, number];
    return { shape: [batch, height * factor[0], width * factor[1], channels], dtype: x.dtype };
  },
  softmax: sameAsInput,
  layerNorm: sameAsInput,
  modulatedNorm: (inputs, _, op) => {
    const x = floatOperand(inputs, 0, op);
    for (const [i, what] of ['scale', 'shift'].entries()) {
      expectPerOutput(operand(inputs, i + 1, op), what, x.shape.at(-1)!, op);
    }
    return { shape: x.shape, dtype: x.dtype };
  },
  inverseDeviation: keptLastAxis,
  l2Normalize: sameAsInput,
  inverseNorm: keptLastAxis,
  rotary: (inputs, { heads }, op) => {
    const [x, cos, sin] = [floatOperand(inputs, 0, op), operand(inputs, 1, op), operand(inputs, 2, op)];
    expectRank(x, 3, op);
    expectSameDtype(x, cos, op);
    expectSameDtype(x, sin, op);
    const table = [x.shape[1]!, x.shape[2]! / heads / 2];
    if (!sameShape(cos.shape, table) || !sameShape(sin.shape, table)) {
      throw new ShapeError({
        where: op,
        problem: `tables ${formatShape(cos.shape)} and ${formatShape(sin.shape)} do not fit ${formatShape(x.shape)} with ${heads} heads: both must be ${formatShape(table)}`,
      });
    }
    return { shape: x.shape, dtype: x.dtype };
  },
  attention: (inputs, { heads }, op) => {
    const [q, k] = attentionOperands(inputs, heads, op);
    const v = operand(inputs, 2, op);
    expectSameDtype(k, v, op);
    if (!sameShape(k.shape, v.shape)) {
      throw new ShapeError({
        where: op,
        problem: `keys ${formatShape(k.shape)} and values ${formatShape(v.shape)} differ`,
      });
    }
    return { shape: q.shape, dtype: q.dtype };
  },
  attentionWeights: (inputs, { heads }, op) => {
    const [q, k] = attentionOperands(inputs, heads, op);
    return { shape: [q.shape[0]!, heads, q.shape[1]!, k.shape[1]!], dtype: q.dtype };
  },
};

function operand(inputs: readonly Tensor[], index: number, op: OpName): Tensor {
  const tensor = inputs[index];
  if (tensor === undefined) {
    throw new ShapeError({ where: op, problem: `operand ${index} is missing: ${inputs.length} were given` });
  }
  return tensor;
}

function floatOperand(inputs: readonly Tensor[], index: number, op: OpName): Tensor {
  const tensor = operand(inputs, index, op);
  if (!isFloat(tensor.dtype)) throw wrongDtype(op, `operand ${index}`, tensor.dtype, 'f32 or f64');
  return tensor;
}

/** The first two operands, floats of one dtype. */
function floatPair(inputs: readonly Tensor[], op: OpName): [Tensor, Tensor] {
  const [a, b] = [floatOperand(inputs, 0, op), floatOperand(inputs, 1, op)];
  expectSameDtype(a, b, op);
  return [a, b];
}

function attentionOperands(inputs: readonly Tensor[], heads: number, op: OpName): [Tensor, Tensor] {
  const [q, k] = floatPair(inputs, op);
  expectRank(q, 3, op);
  expectRank(k, 3, op);
  if (q.shape[0] !== k.shape[0]) throw axisDiffers(op, 'B', q, k, 0, 0);
  if (q.shape[2] !== k.shape[2]) throw axisDiffers(op, 'D', q, k, 2, 2);
  if (q.shape[2]! % heads !== 0) {
    throw new ShapeError({ where: op, problem: `width ${q.shape[2]} is not a multiple of ${heads} heads` });
  }
  return [q, k];
}

/** Two images of one batch. */
function imagePair(inputs: readonly Tensor[], op: OpName): [Tensor, Tensor] {
  const [x, dy] = floatPair(inputs, op);
  expectRank(x, 4, op);
  expectRank(dy, 4, op);
  return [x, dy];
}

/** Shape of what is computed at every position of a kernel. */
function windowed(x: Tensor, kernel: Pair, window: Window, channels: number, op: OpName): Shape {
  const [batch, height, width] = x.shape as [number, number, number];
  expectWindow(op, [height, width], kernel, window);
  return [batch, ...positionsOf([height, width], kernel, window), channels];
}

function matrixSizes(x: Tensor, transposed: boolean): [number, number] {
  const [rows, columns] = [x.shape.at(-2)!, x.shape.at(-1)!];
  return transposed ? [columns, rows] : [rows, columns];
}

function expectRank(x: Tensor, rank: number, op: OpName): void {
  if (x.shape.length !== rank) {
    throw new ShapeError({
      where: op,
      problem: `${formatShape(x.shape)} has ${x.shape.length} axes, not ${rank}`,
    });
  }
}

function expectKernel(weight: Tensor, op: OpName): void {
  expectRank(weight, 4, op);
  const [, , height, width] = weight.shape;
  if (height !== width || height! % 2 === 0) {
    throw new ShapeError({
      where: op,
      problem: `the kernel is ${height}×${width}: it must be square and odd`,
    });
  }
}

function expectBias(bias: Tensor | undefined, width: number, op: OpName): void {
  if (bias !== undefined) expectPerOutput(bias, 'bias', width, op);
}

function expectPerOutput(x: Tensor, what: string, width: number, op: OpName): void {
  if (!sameShape(x.shape, [width])) {
    throw new ShapeError({
      where: op,
      problem: `${what} ${formatShape(x.shape)} does not fit ${width} outputs`,
    });
  }
}

function expectAxesInRange(axes: readonly number[], rank: number, op: OpName): void {
  for (const axis of axes) {
    if (!Number.isInteger(axis) || axis < 0 || axis >= rank) {
      throw new ShapeError({ where: op, problem: `axis ${axis} is outside a tensor of ${rank} axes` });
    }
  }
}

function expectSameDtype(a: Tensor, b: Tensor, op: OpName): void {
  if (a.dtype !== b.dtype) {
    throw new DTypeError({
      where: op,
      problem: `operands are ${a.dtype} and ${b.dtype}`,
      fix: 'cast one of them',
    });
  }
}

function wrongDtype(op: OpName, what: string, dtype: DType, expected: string): DTypeError {
  return new DTypeError({ where: op, problem: `${what} is ${dtype}, not ${expected}` });
}

function axisDiffers(
  op: OpName,
  name: string,
  a: Tensor,
  b: Tensor,
  axisA: number,
  axisB: number,
): ShapeError {
  return new ShapeError({
    where: op,
    problem: `axis ${name} differs: ${formatShape(a.shape)} has ${a.shape.at(axisA)}, ${formatShape(b.shape)} has ${b.shape.at(axisB)}`,
  });
}
