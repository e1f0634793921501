/**
 * @file Lowering: one rule per operation from the graph to ONNX nodes. The measured reasons for the forms chosen here
 * are in LOG.md; what a rule emits may depend on whether weights are known (inference) or fed (training).
 */

import { CheckpointError } from '../core/errors.ts';
import { hostTensor, scalar, type TensorMap } from '../core/host-tensor.ts';
import { type Shape, sizeOf } from '../core/shape.ts';
import type { Graph } from '../graph/graph.ts';
import { isOp, type OpName, type OpParams, type Tensor } from '../graph/tensor.ts';
import { countUses, topologicalOrder } from '../graph/traverse.ts';
import * as convolution from './lower-convolution.ts';
import { type Attributes, type Domain, ModelWriter } from './model-writer.ts';

/** What the runtime can execute beside standard ONNX; found by probing, never by a list. */
export interface LoweringFeatures {
  /** Channels per block of ONNX Runtime's internal NCHWc layout on this CPU; null where it is absent. */
  readonly nchwcBlock: number | null;
}

export const PORTABLE: LoweringFeatures = { nchwcBlock: null };

export interface LowerOptions {
  readonly features: LoweringFeatures;
  /** Values of parameters: these become initialisers, and the graph is lowered for inference. Others are fed. */
  readonly weights?: TensorMap;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** State of one lowering, and the vocabulary of its rules. */
export class Lowering {
  readonly writer = new ModelWriter();
  readonly features: LoweringFeatures;
  readonly weights: TensorMap | undefined;
  /** Nodes computed with channels first (see {@link channelsFirstChains}). */
  readonly channelsFirst: ReadonlySet<Tensor>;
  private readonly names = new Map<Tensor, string>();
  private readonly memo = new Map<string, string>();
  private scope = '';

  constructor(order: readonly Tensor[], uses: ReadonlyMap<Tensor, number>, options: LowerOptions) {
    this.features = options.features;
    this.weights = options.weights;
    this.channelsFirst =
      options.weights === undefined ? new Set() : convolution.channelsFirstChains(order, uses);
  }

  /** Lowers one node; its inputs have been lowered before. */
  lower(tensor: Tensor): void {
    this.scope = tensor.scope;
    if (this.channelsFirst.has(tensor)) convolution.lowerChannelsFirst(this, tensor);
    else this.names.set(tensor, (LOWER[tensor.op] as LowerRule<OpName>)(this, tensor as NodeOf<OpName>));
  }

  /** ONNX value that holds a tensor in its own layout. */
  name(tensor: Tensor): string {
    const name = this.names.get(tensor);
    if (name !== undefined) return name;
    return this.once(`tokens ${tensor.id}`, () =>
      this.emit('Transpose', [this.channelsFirstName(tensor)], { perm: [0, 2, 3, 1] }),
    );
  }

  /** ONNX value that holds an [N, H, W, C] tensor as [N, C, H, W]. */
  channelsFirstName(tensor: Tensor): string {
    return this.once(`channels first ${tensor.id}`, () =>
      this.emit('Transpose', [this.names.get(tensor)!], { perm: [0, 3, 1, 2] }),
    );
  }

  setChannelsFirstName(tensor: Tensor, name: string): void {
    this.memo.set(`channels first ${tensor.id}`, name);
  }

  /** Emits what `make` emits at the first call with this key only. */
  once(key: string, make: () => string): string {
    const known = this.memo.get(key);
    if (known !== undefined) return known;
    const name = make();
    this.memo.set(key, name);
    return name;
  }

  emit(opType: string, inputs: readonly string[], attributes: Attributes = {}, domain: Domain = ''): string {
    return this.writer.emit(opType, inputs, attributes, { domain, scope: this.scope });
  }

  emitMany(opType: string, inputs: readonly string[], count: number, attributes: Attributes = {}): string[] {
    return this.writer.emitMany(opType, inputs, count, attributes, { scope: this.scope });
  }

  reshape(name: string, shape: Shape): string {
    return this.emit('Reshape', [name, this.writer.integers(shape)]);
  }

  float(value: number): string {
    return this.writer.constant(scalar('f32', value));
  }

  /** A constant vector of one value. */
  filled(length: number, value: number): string {
    return this.once(`filled ${length} ${value}`, () =>
      this.writer.constant(hostTensor('f32', [length], new Float32Array(length).fill(value))),
    );
  }

  /** Leading axes merged: [… D] → [rows, D]. */
  asMatrix(tensor: Tensor): string {
    if (tensor.shape.length === 2) return this.name(tensor);
    const width = tensor.shape.at(-1)!;
    return this.once(`matrix ${tensor.id}`, () =>
      this.reshape(this.name(tensor), [sizeOf(tensor.shape) / width, width]),
    );
  }
}

export type NodeOf<O extends OpName> = Tensor & { readonly op: O; readonly params: OpParams[O] };
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
    lowering.emit(opType, [lowering.name(inputs[0]!), lowering.writer.integers(axes)], {
      keepdims: keepDims ? 1 : 0,
    });

const fedLeaf: LowerRule<'input' | 'parameter'> = (lowering, tensor) => {
  const { name } = tensor.params;
  const value = tensor.op === 'parameter' ? lowering.weights?.get(name) : undefined;
  if (value !== undefined) lowering.writer.addInitialiser(name, value);
  else if (tensor.op === 'parameter' && lowering.weights !== undefined) {
    throw new CheckpointError({ where: 'lower', problem: `the weights have no value for ${name}` });
  } else lowering.writer.addInput(name, tensor.dtype, tensor.shape);
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

export const LOWER: { readonly [O in OpName]: LowerRule<O> } = {
  input: fedLeaf as LowerRule<'input'>,
  parameter: fedLeaf as LowerRule<'parameter'>,
  constant: (lowering, { params: { value } }) => lowering.writer.constant(value),
  neg: elementwise('Neg'),
  exp: elementwise('Exp'),
  log: elementwise('Log'),
  sqrt: elementwise('Sqrt'),
  reciprocal: elementwise('Reciprocal'),
  sin: elementwise('Sin'),
  cos: elementwise('Cos'),
  tanh: elementwise('Tanh'),
  erf: elementwise('Erf'),
  sigmoid: elementwise('Sigmoid'),
  gelu: (lowering, { inputs, params: { approximate } }) =>
    lowering.emit('Gelu', [lowering.name(inputs[0]!)], { approximate }),
  geluGate: (lowering, { inputs, params: { approximate } }) => {
    const x = lowering.name(inputs[0]!);
    const bounded = approximate === 'none' ? lowering.emit('Erf', [times(x, Math.SQRT1_2)]) : tanhOf(x);
    return lowering.emit('Add', [times(bounded, 0.5), lowering.float(0.5)]);

    function times(name: string, factor: number): string {
      return lowering.emit('Mul', [name, lowering.float(factor)]);
    }
    /** tanh(√(2/π) (x + 0.044715 x³)) */
    function tanhOf(name: string): string {
      const squared = lowering.emit('Mul', [name, name]);
      const c = Math.sqrt(2 / Math.PI);
      const factor = lowering.emit('Add', [times(squared, 0.044715 * c), lowering.float(c)]);
      return lowering.emit('Tanh', [lowering.emit('Mul', [name, factor])]);
    }
  },
  cast: (lowering, { inputs, params: { dtype } }) =>
    lowering.emit('Cast', [lowering.name(inputs[0]!)], {
      to: { f32: 1, f64: 11, i32: 6, i64: 7, u8: 2, bool: 9 }[dtype],
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
  transpose: (lowering, { inputs, params: { order } }) =>
    lowering.emit('Transpose', [lowering.name(inputs[0]!)], { perm: order }),
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
    const empty = lowering.emit('Expand', [lowering.float(0), lowering.writer.integers(tensor.shape)]);
    const positions = lowering.reshape(lowering.name(indices!), [indices!.shape[0]!, 1]);
    return lowering.emit('ScatterND', [empty, positions, lowering.name(values!)], { reduction: 'add' });
  },
  matmul: (lowering, { inputs: [a, b], params: { transposeA, transposeB } }) => {
    const names = [lowering.name(a!), lowering.name(b!)];
    const flags = { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0 };
    if (a!.shape.length === 2) return lowering.emit('Gemm', names, flags);
    return transposeA || transposeB
      ? lowering.emit('FusedMatMul', names, flags, 'com.microsoft')
      : lowering.emit('MatMul', names);
  },
  linear: (lowering, tensor) => {
    const [x, weight, bias] = tensor.inputs;
    const operands = [lowering.asMatrix(x!), lowering.name(weight!)];
    if (bias !== undefined) operands.push(lowering.name(bias));
    const product = lowering.emit('Gemm', operands, { transB: 1 });
    return tensor.shape.length === 2 ? product : lowering.reshape(product, tensor.shape);
  },
  conv2d: convolution.lowerConv2d,
  conv2dWeightGradient: convolution.lowerConv2dWeightGradient,
  depthwiseConv2d: convolution.lowerDepthwiseConv2d,
  depthwiseConv2dWeightGradient: convolution.lowerDepthwiseConv2dWeightGradient,
  softmax: (lowering, { inputs }) => lowering.emit('Softmax', [lowering.name(inputs[0]!)], { axis: -1 }),
  layerNorm: (lowering, tensor) => {
    const x = tensor.inputs[0]!;
    // With known weights, InstanceNormalization over [N, T, D] is the faster kernel of the two.
    if (lowering.weights !== undefined && x.shape.length >= 3) {
      const [batch, width] = [x.shape[0]!, x.shape.at(-1)!];
      const tokens = sizeOf(x.shape) / batch / width;
      const affine = [lowering.filled(tokens, 1), lowering.filled(tokens, 0)];
      const rows = lowering.reshape(lowering.name(x), [batch, tokens, width]);
      const epsilon = { float: tensor.params.eps };
      return lowering.reshape(
        lowering.emit('InstanceNormalization', [rows, ...affine], { epsilon }),
        x.shape,
      );
    }
    return layerNormalization(lowering, x, tensor.params.eps).y;
  },
  inverseDeviation: (lowering, { inputs, params: { eps } }) =>
    layerNormalization(lowering, inputs[0]!, eps).inverseDeviation,
  l2Normalize: (lowering, { inputs }) =>
    lowering.emit('LpNormalization', [lowering.name(inputs[0]!)], { p: 2, axis: -1 }),
  inverseNorm: (lowering, { inputs, params: { eps } }) => {
    const norm = lowering.emit('ReduceL2', [lowering.name(inputs[0]!), lowering.writer.integers([-1])]);
    return lowering.emit('Reciprocal', [lowering.emit('Max', [norm, lowering.float(eps)])]);
  },
  rotary: (lowering, { inputs: [x, cosTable, sinTable], params: { heads } }) =>
    lowering.emit(
      'RotaryEmbedding',
      [lowering.name(x!), lowering.writer.integers([0]), lowering.name(cosTable!), lowering.name(sinTable!)],
      { interleaved: 1, num_heads: heads },
      'com.microsoft',
    ),
  attention: (lowering, { inputs, params: { heads, scale } }) =>
    lowering.emit(
      'Attention',
      inputs.map((input) => lowering.name(input)),
      { q_num_heads: heads, kv_num_heads: heads, scale: { float: scale } },
    ),
  attentionWeights: (lowering, { inputs: [q, k], params: { heads, scale } }) => {
    const scores = lowering.emit(
      'FusedMatMul',
      [splitHeads(lowering, q!, heads), splitHeads(lowering, k!, heads)],
      { transB: 1, alpha: { float: scale } },
      'com.microsoft',
    );
    return lowering.emit('Softmax', [scores], { axis: -1 });
  },
};

/** [B, T, heads·d] → [B, heads, T, d]. */
function splitHeads(lowering: Lowering, x: Tensor, heads: number): string {
  const [batch, tokens, width] = x.shape as [number, number, number];
  return lowering.once(`heads ${x.id} ${heads}`, () =>
    lowering.emit('Transpose', [lowering.reshape(lowering.name(x), [batch, tokens, heads, width / heads])], {
      perm: [0, 2, 1, 3],
    }),
  );
}

function bound(lowering: Lowering) {
  return { integers: (values: readonly number[]) => lowering.writer.integers(values) };
}

/**
 * Serialises a graph as an ONNX model. Leaves become model inputs under their names, except parameters that
 * `options.weights` gives values for.
 */
export function lowerGraph(graph: Graph, options: LowerOptions): Uint8Array {
  const order = topologicalOrder(graph.values());
  const lowering = new Lowering(order, countUses(order, graph.values()), options);
  for (const tensor of order) lowering.lower(tensor);
  for (const [name, tensor] of graph) {
    lowering.writer.emit('Identity', [lowering.name(tensor)], {}, { output: name });
    lowering.writer.addOutput(name, tensor.dtype, tensor.shape);
  }
  return lowering.writer.toBytes(options.metadata);
}

/** Is this value known when the model is lowered? */
export function isKnown(lowering: Lowering, tensor: Tensor): boolean {
  return isOp(tensor, 'constant') || (tensor.op === 'parameter' && lowering.weights !== undefined);
}
