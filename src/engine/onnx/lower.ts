/**
 * @file Lowering: one rule per operation from the graph to ONNX nodes. The measured reasons for the forms chosen here
 * are in LOG.md; what a rule emits may depend on whether weights are known (inference) or fed (training).
 */

import { CheckpointError } from '../../core/errors.ts';
import { tensorOf, toNumbers } from '../../core/host-tensor.ts';
import { sizeOf } from '../../core/shape.ts';
import type { Graph } from '../graph/graph.ts';
import type { OpName, Tensor } from '../graph/tensor.ts';
import { countUses, topologicalOrder } from '../graph/traverse.ts';
import * as attention from './lower-attention.ts';
import * as convolution from './lower-convolution.ts';
import { gelu, geluGate } from './lower-gelu.ts';
import * as gpu from './lower-gpu.ts';
import { averagePool, lowerPool, lowerResizeNearest, maxPool } from './lower-window.ts';
import { Lowering, type LoweringPlace, type LowerOptions, type NodeOf, typeFor } from './lowering.ts';
import {
  DATA_TYPES,
  type ExternalTensor,
  type ModelInParts,
  ModelWriter,
  serialiseModel,
} from './model-writer.ts';

type LowerRule<O extends OpName> = (lowering: Lowering, tensor: NodeOf<O>) => string;

const elementwise =
  (opType: string): LowerRule<OpName> =>
  (lowering, { inputs }) =>
    lowering.emit(
      opType,
      inputs.map((input) => lowering.name(input)),
    );

const reduction =
  (opType: 'ReduceSum' | 'ReduceMean'): LowerRule<'sum' | 'mean'> =>
  (lowering, { inputs, params: { axes, keepDims } }) =>
    lowering.reduce(opType, lowering.name(inputs[0]!), axes, keepDims);

const lowerInput: LowerRule<'input' | 'parameter'> = (lowering, tensor) => {
  const { name } = tensor.params;
  const bound = lowering.bound.get(name);
  if (bound !== undefined) return bound;
  lowering.writer.addInput(name, lowering.typeOf(tensor), tensor.shape);
  return name;
};

const lowerParameter: LowerRule<'parameter'> = (lowering, tensor) => {
  const { name } = tensor.params;
  const { weights, writer } = lowering;
  if (weights === undefined) return lowerInput(lowering, tensor as NodeOf<'parameter'>);
  if ('dataFile' in weights) {
    writer.addExternalInitialiser(name, tensor.dtype, tensor.shape, weights.dataFile);
    return name;
  }
  const value = weights.get(name);
  if (value === undefined) {
    throw new CheckpointError({ where: 'lower', problem: `the weights have no value for ${name}` });
  }
  writer.addInitialiser(name, value);
  return name;
};

/** Mean and deviation over the last axis come from one node where a gradient needs both. */
function layerNormalization(
  lowering: Lowering,
  x: Tensor,
  eps: number,
): { y: string; inverseDeviation: string } {
  const width = x.shape.at(-1)!;
  const key = `layer norm ${x.id} ${eps}`;
  const y = lowering.once(`${key} y`, () => {
    const [normalised, , inverseDeviation] = lowering.emitMany(
      'LayerNormalization',
      [lowering.name(x), lowering.filled(width, 1)],
      3,
      { axis: -1, epsilon: { float: eps } },
    );
    lowering.once(`${key} deviation`, () => inverseDeviation!);
    return normalised!;
  });
  return { y, inverseDeviation: lowering.once(`${key} deviation`, () => y) };
}

/** Zero mean and unit variance over the last axis. */
function normalised(lowering: Lowering, x: Tensor, eps: number): string {
  if (!lowering.isForCpuInference || x.shape.length < 3) return layerNormalization(lowering, x, eps).y;
  // With known weights, on the CPU, InstanceNormalization over [N, T, D] is the faster kernel of the two.
  const [batch, width] = [x.shape[0]!, x.shape.at(-1)!];
  const tokens = sizeOf(x.shape) / batch / width;
  const affine = [lowering.filled(tokens, 1), lowering.filled(tokens, 0)];
  const rows = lowering.reshape(lowering.name(x), [batch, tokens, width]);
  const epsilon = { float: eps };
  return lowering.reshape(lowering.emit('InstanceNormalization', [rows, ...affine], { epsilon }), x.shape);
}

export const LOWER: { readonly [O in OpName]: LowerRule<O> } = {
  input: lowerInput as LowerRule<'input'>,
  parameter: lowerParameter,
  constant: (lowering, tensor) => {
    const { value } = tensor.params;
    const dtype = lowering.typeOf(tensor);
    return lowering.writer.constant(
      dtype === value.dtype ? value : tensorOf(dtype, value.shape, Array.from(toNumbers(value))),
    );
  },
  neg: elementwise('Neg'),
  exp: elementwise('Exp'),
  log: elementwise('Log'),
  sqrt: elementwise('Sqrt'),
  reciprocal: elementwise('Reciprocal'),
  sin: gpu.trigonometric('Sin'),
  cos: gpu.trigonometric('Cos'),
  tanh: elementwise('Tanh'),
  erf: elementwise('Erf'),
  sigmoid: elementwise('Sigmoid'),
  relu: elementwise('Relu'),
  gelu: (lowering, { inputs, params: { approximate } }) =>
    gelu(lowering, lowering.name(inputs[0]!), approximate),
  geluGate: (lowering, { inputs, params: { approximate } }) =>
    geluGate(lowering, lowering.name(inputs[0]!), approximate),
  cast: (lowering, tensor) =>
    lowering.emit('Cast', [lowering.name(tensor.inputs[0]!)], {
      to: DATA_TYPES[lowering.typeOf(tensor)],
    }),
  stopGradient: elementwise('Identity'),
  add: elementwise('Add'),
  sub: elementwise('Sub'),
  mul: elementwise('Mul'),
  div: elementwise('Div'),
  maximum: elementwise('Max'),
  minimum: elementwise('Min'),
  less: elementwise('Less'),
  where: elementwise('Where'),
  sum: reduction('ReduceSum'),
  mean: reduction('ReduceMean'),
  reshape: (lowering, { inputs, params: { shape } }) => lowering.reshape(lowering.name(inputs[0]!), shape),
  transpose: (lowering, tensor) => {
    const x = tensor.inputs[0]!;
    const { order } = tensor.params;
    if (lowering.isForCpuInference && movesRowsOnly(order)) return gatherRows(lowering, tensor);
    return lowering.emit('Transpose', [lowering.name(x)], { perm: order });
  },
  broadcastTo: (lowering, { inputs, params: { shape } }) =>
    lowering.emit('Expand', [lowering.name(inputs[0]!), lowering.writer.integers(shape)]),
  slice: (lowering, { inputs, params: { axis, start, end } }) => {
    const { integers } = bound(lowering);
    return lowering.emit('Slice', [
      lowering.name(inputs[0]!),
      integers([start]),
      integers([end]),
      integers([axis]),
    ]);
  },
  concat: (lowering, { inputs, params: { axis } }) =>
    lowering.emit(
      'Concat',
      inputs.map((input) => lowering.name(input)),
      { axis },
    ),
  pad: (lowering, { inputs, params: { before, after } }) =>
    lowering.emit('Pad', [lowering.name(inputs[0]!), lowering.writer.integers([...before, ...after])]),
  reverse: (lowering, { inputs, params: { axes } }) => {
    const { integers } = bound(lowering);
    const backwards = axes.map(() => -1);
    const beforeStart = axes.map(() => Number.MIN_SAFE_INTEGER);
    return lowering.emit('Slice', [
      lowering.name(inputs[0]!),
      integers(backwards),
      integers(beforeStart),
      integers(axes),
      integers(backwards),
    ]);
  },
  takeRows: (lowering, { inputs: [table, indices] }) =>
    lowering.emit('Gather', [lowering.name(table!), lowering.name(indices!)], { axis: 0 }),
  addRows: (lowering, tensor) => {
    const [values, indices] = tensor.inputs;
    if (lowering.isForGpu) return gpu.lowerAddRows(lowering, tensor);
    const empty = lowering.emit('Expand', [lowering.float(0), lowering.writer.integers(tensor.shape)]);
    const positions = lowering.reshape(lowering.name(indices!), [indices!.shape[0]!, 1]);
    return lowering.emit('ScatterND', [empty, positions, lowering.name(values!)], { reduction: 'add' });
  },
  matmul: (lowering, { inputs: [a, b], params: { transposeA, transposeB } }) => {
    const names = [lowering.name(a!), lowering.name(b!)];
    const flags = { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0 };
    if (a!.shape.length === 2) return lowering.emit('Gemm', names, flags);
    if (lowering.features.contributed && (transposeA || transposeB)) {
      return lowering.emit('FusedMatMul', names, flags, 'com.microsoft');
    }
    const [left, right] = [transposeA, transposeB].map((isTransposed, i) =>
      isTransposed ? lowering.lastTwoSwapped(names[i]!, a!.shape.length) : names[i]!,
    );
    return lowering.emit('MatMul', [left!, right!]);
  },
  linear: (lowering, tensor) => {
    const [x, weight, bias] = tensor.inputs;
    const operands = [lowering.asMatrix(x!), lowering.name(weight!)];
    if (bias !== undefined) operands.push(lowering.name(bias));
    const product = lowering.emit('Gemm', operands, { transB: 1 });
    return tensor.shape.length === 2 ? product : lowering.reshape(product, tensor.shape);
  },
  weightScales: (lowering, { inputs, params: { levels, eps } }) => {
    const magnitudes = lowering.emit('Abs', [lowering.name(inputs[0]!)]);
    const largest = lowering.reduce('ReduceMax', magnitudes, [1], false);
    const positive = lowering.emit('Max', [largest, lowering.float(eps)]);
    return lowering.emit('Div', [positive, lowering.float(levels)]);
  },
  quantizeWeight: (lowering, { inputs: [weight, scales] }) => {
    const columns = lowering.emit('Transpose', [lowering.name(weight!)], { perm: [1, 0] });
    const steps = lowering.emit('Div', [columns, lowering.name(scales!)]);
    return lowering.emit('Cast', [lowering.emit('Round', [steps])], { to: DATA_TYPES.i8 });
  },
  quantizedLinear: (lowering, { inputs: [x, weight, scales, bias] }) => {
    // ONNX Runtime fuses what follows, and the quantisation too where only one product reads it.
    const { values, scale, zeroPoint } = dynamicallyQuantized(lowering, x!);
    const sums = lowering.emit('MatMulInteger', [values, lowering.name(weight!), zeroPoint]);
    const product = lowering.emit('Mul', [
      lowering.emit('Cast', [sums], { to: DATA_TYPES.f32 }),
      lowering.emit('Mul', [scale, lowering.name(scales!)]),
    ]);
    return bias === undefined ? product : lowering.emit('Add', [product, lowering.name(bias)]);
  },
  conv2d: convolution.lowerConv2d,
  conv2dWeightGradient: convolution.lowerConv2dWeightGradient,
  depthwiseConv2d: convolution.lowerDepthwiseConv2d,
  depthwiseConv2dWeightGradient: convolution.lowerDepthwiseConv2dWeightGradient,
  maxPool2d: lowerPool(maxPool),
  averagePool2d: lowerPool(averagePool),
  resizeNearest: lowerResizeNearest,
  softmax: (lowering, { inputs }) => lowering.emit('Softmax', [lowering.name(inputs[0]!)], { axis: -1 }),
  layerNorm: (lowering, { inputs, params: { eps } }) => normalised(lowering, inputs[0]!, eps),
  modulatedNorm: (lowering, { inputs, params: { eps } }) => {
    const [x, scale, shift] = inputs.map((input) => lowering.name(input)) as [string, string, string];
    if (lowering.features.nchwcBlock !== null) {
      return lowering.emit('LayerNormalization', [x, scale, shift], { axis: -1, epsilon: { float: eps } });
    }
    // In WebAssembly, this kernel is slower than three others (LOG.md).
    return lowering.emit('Add', [
      lowering.emit('Mul', [normalised(lowering, inputs[0]!, eps), scale]),
      shift,
    ]);
  },
  inverseDeviation: (lowering, { inputs, params: { eps } }) =>
    layerNormalization(lowering, inputs[0]!, eps).inverseDeviation,
  l2Normalize: (lowering, { inputs, params: { eps } }) => {
    const x = lowering.name(inputs[0]!);
    if (lowering.features.contributed) return lowering.emit('LpNormalization', [x], { p: 2, axis: -1 });
    // Runtimes before 1.25 know the operator of opset 1 only.
    const norm = lowering.reduce('ReduceL2', x, [-1]);
    return lowering.emit('Div', [x, lowering.emit('Max', [norm, lowering.float(eps)])]);
  },
  inverseNorm: (lowering, { inputs, params: { eps } }) => {
    const norm = lowering.reduce('ReduceL2', lowering.name(inputs[0]!), [-1]);
    return lowering.emit('Reciprocal', [lowering.emit('Max', [norm, lowering.float(eps)])]);
  },
  rotary: attention.lowerRotary,
  attention: attention.lowerAttention,
  attentionWeights: attention.lowerAttentionWeights,
};

/** Bytes, their scale and zero point, made once for all products that read x, such as queries, keys and values. */
function dynamicallyQuantized(lowering: Lowering, x: Tensor) {
  const key = `quantized ${x.id}`;
  const values = lowering.once(`${key} values`, () => {
    const [bytes, scale, zeroPoint] = lowering.emitMany('DynamicQuantizeLinear', [lowering.name(x)], 3);
    lowering.once(`${key} scale`, () => scale!);
    lowering.once(`${key} zero`, () => zeroPoint!);
    return bytes!;
  });
  const known = (part: string) => lowering.once(`${key} ${part}`, () => values);
  return { values, scale: known('scale'), zeroPoint: known('zero') };
}

/** Does a transpose keep the first axis, and the last one where values lie side by side? */
function movesRowsOnly(order: readonly number[]): boolean {
  return order.length > 3 && order[0] === 0 && order.at(-1) === order.length - 1;
}

/**
 * Such a transpose as a choice of rows by constant indices. ONNX Runtime would merge a transpose with the one that ends
 * a channels-first chain before it, and moving the innermost axis and five more at once is several times slower.
 */
function gatherRows(lowering: Lowering, tensor: NodeOf<'transpose'>): string {
  const x = tensor.inputs[0]!;
  const { order } = tensor.params;
  const [batch, width] = [x.shape[0]!, x.shape.at(-1)!];
  const lengths = x.shape.slice(1, -1);
  const rowOf = (position: readonly number[]) =>
    position.reduce((row, index, axis) => row * lengths[axis]! + index, 0);
  const positions = order
    .slice(1, -1)
    .reduce<readonly (readonly number[])[]>(
      (partial, axis) =>
        partial.flatMap((position) =>
          Array.from({ length: lengths[axis - 1]! }, (_, index) => position.with(axis - 1, index)),
        ),
      [lengths.map(() => 0)],
    );
  const rows = lowering.reshape(lowering.name(x), [batch, positions.length, width]);
  const chosen = lowering.emit('Gather', [rows, lowering.writer.integers(positions.map(rowOf))], { axis: 1 });
  return lowering.reshape(chosen, tensor.shape);
}

function bound(lowering: Lowering) {
  return { integers: (values: readonly number[]) => lowering.writer.integers(values) };
}

export interface LoweredModel {
  /** The serialised ONNX model. */
  readonly bytes: Uint8Array;
  /** The tensors of its data file, if the options name one. */
  readonly external: readonly ExternalTensor[];
  /** Length in bytes of that file. */
  readonly dataLength: number;
}

/**
 * Serialises a graph as an ONNX model. Leaves become inputs of the model under their names, except parameters where
 * there are weights.
 */
export function lowerGraph(graph: Graph, options: LowerOptions): LoweredModel {
  const { proto, external, dataLength } = lowerToParts(graph, options);
  return { bytes: serialiseModel(proto), external, dataLength };
}

/** The same, not serialised yet. */
export function lowerToParts(graph: Graph, options: LowerOptions): ModelInParts {
  const writer = new ModelWriter(options.features);
  writeGraph(graph, options, { writer, bound: new Map() });
  for (const [name, tensor] of graph) writer.addOutput(name, typeFor(options.features, tensor), tensor.shape);
  return writer.toParts(options.metadata);
}

/** Writes the nodes of a graph, the values of its outputs under their names, and inputs that are not bound. */
export function writeGraph(graph: Graph, options: LowerOptions, place: LoweringPlace): void {
  const order = topologicalOrder(graph.values());
  const uses = countUses(order, graph.values());
  const isInference = options.weights !== undefined;
  const channelsFirst = isInference ? convolution.channelsFirstChains(order, uses) : new Set<Tensor>();
  const lowering = new Lowering(options, channelsFirst, place);
  const emitted = new Set<Tensor>();
  const emit = (tensor: Tensor): void => {
    if (emitted.has(tensor)) return;
    emitted.add(tensor);
    for (const read of tensor.inputs) if (isKnown(read)) emit(read);
    lowering.enter(tensor.scope);
    if (channelsFirst.has(tensor)) convolution.lowerChannelsFirst(lowering, tensor);
    else
      lowering.setName(tensor, (LOWER[tensor.op] as LowerRule<OpName>)(lowering, tensor as NodeOf<OpName>));
  };
  const isRead = new Set(order.flatMap(({ inputs }) => inputs));
  // What is known before a run comes with its first reader: it may be older than the graph, which must not show.
  const isKnown = ({ op }: Tensor) => op === 'parameter' || op === 'constant';
  for (const tensor of order) if (isRead.has(tensor) && !isKnown(tensor)) emit(tensor);
  // ONNX Runtime executes depth first from the nodes that nobody reads, the last one first. In this order each gradient
  // is finished as soon as it can be, and what it was computed from is free again: 0.6 of 4.7 GB for U-DiT-S.
  const outputs = [...graph].sort(([, a], [, b]) => b.id - a.id);
  for (const [name, tensor] of outputs) {
    emit(tensor);
    lowering.writer.emit('Identity', [lowering.name(tensor)], {}, { output: name });
  }
}
