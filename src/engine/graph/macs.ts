/**
 * @file Multiply-accumulates of a graph. Convolutions and matrix products count, everything else is free: so torchprofile
 * counts what the papers call "GFLOPs".
 */
import { sizeOf } from '../../core/shape.ts';
import { isOp, type OpName, type OpParams, type Tensor } from './tensor.ts';
import { dependingOnInputs, topologicalOrder } from './traverse.ts';

/** What the work is: products of tokens with tokens, of channels with weights, or of neighbourhoods with kernels. */
export type MacKind = 'attention' | 'linear' | 'convolution';

/** Multiply-accumulates by kind. */
export type MacCounts = Readonly<Record<MacKind, number>>;

/** The work of one node. */
export interface MacEntry {
  readonly tensor: Tensor;
  readonly kind: MacKind;
  readonly macs: number;
}

type MacRule<O extends OpName> = (
  y: Tensor & { readonly params: OpParams[O] },
  ...inputs: Tensor[]
) => readonly [kind: MacKind, macs: number];

/** Moves, compares or transforms elements one by one. */
const FREE = null;

const MACS: { readonly [O in OpName]: MacRule<O> | typeof FREE } = {
  input: FREE,
  parameter: FREE,
  constant: FREE,
  neg: FREE,
  exp: FREE,
  log: FREE,
  sqrt: FREE,
  reciprocal: FREE,
  sin: FREE,
  cos: FREE,
  tanh: FREE,
  erf: FREE,
  sigmoid: FREE,
  relu: FREE,
  gelu: FREE,
  geluGate: FREE,
  cast: FREE,
  stopGradient: FREE,
  add: FREE,
  sub: FREE,
  mul: FREE,
  div: FREE,
  maximum: FREE,
  minimum: FREE,
  less: FREE,
  where: FREE,
  sum: FREE,
  mean: FREE,
  reshape: FREE,
  transpose: FREE,
  broadcastTo: FREE,
  slice: FREE,
  concat: FREE,
  pad: FREE,
  reverse: FREE,
  takeRows: FREE,
  addRows: FREE,
  maxPool2d: FREE,
  averagePool2d: FREE,
  resizeNearest: FREE,
  softmax: FREE,
  layerNorm: FREE,
  modulatedNorm: FREE,
  inverseDeviation: FREE,
  l2Normalize: FREE,
  inverseNorm: FREE,
  rotary: FREE,
  // Outside of attention, products of two computed values occur in gradients only.
  matmul: (y, a) => {
    const inner = a!.shape.at(y.params.transposeA ? -2 : -1)!;
    return [y.shape.length > 2 ? 'attention' : 'linear', sizeOf(y.shape) * inner];
  },
  linear: (y, _, weight) => [
    isStoredAsConvolution(weight!) ? 'convolution' : 'linear',
    sizeOf(y.shape) * weight!.shape[1]!,
  ],
  weightScales: FREE,
  quantizeWeight: FREE,
  quantizedLinear: (y, _, weight) => [
    isStoredAsConvolution(weight!) ? 'convolution' : 'linear',
    sizeOf(y.shape) * weight!.shape[0]!,
  ],
  conv2d: (y, _, weight) => ['convolution', sizeOf(y.shape) * sizeOf(weight!.shape.slice(1))],
  conv2dWeightGradient: (y, _, dy) => ['convolution', sizeOf(dy!.shape) * sizeOf(y.shape.slice(1))],
  depthwiseConv2d: (y, _, weight) => ['convolution', sizeOf(y.shape) * sizeOf(weight!.shape.slice(2))],
  depthwiseConv2dWeightGradient: (y, x) => ['convolution', sizeOf(x!.shape) * sizeOf(y.shape.slice(2))],
  // Scores and values.
  attention: (y, _, k) => ['attention', 2 * sizeOf(y.shape) * k!.shape[1]!],
  attentionWeights: (_, q, k) => ['attention', sizeOf(q!.shape) * k!.shape[1]!],
};

/** A 1×1 convolution or a patch embedding: computed as a linear layer, counted as what its checkpoint says. */
function isStoredAsConvolution(weight: Tensor): boolean {
  return topologicalOrder([weight]).some((leaf) => isOp(leaf, 'parameter') && leaf.shape.length === 4);
}

/**
 * Nodes that multiply and accumulate at every run. What depends on parameters alone (merging of kernels) is done once,
 * and not counted.
 */
export function macsOf(outputs: Iterable<Tensor>): MacEntry[] {
  const order = topologicalOrder(outputs);
  const varying = dependingOnInputs(order);
  return order.flatMap((tensor) => {
    const rule = MACS[tensor.op] as MacRule<OpName> | typeof FREE;
    if (rule === FREE || !varying.has(tensor)) return [];
    const [kind, macs] = rule(tensor as Parameters<MacRule<OpName>>[0], ...tensor.inputs);
    return [{ tensor, kind, macs }];
  });
}

/** Sums by kind. */
export function sumMacs(entries: Iterable<MacEntry>): MacCounts {
  const counts = { attention: 0, linear: 0, convolution: 0 };
  for (const { kind, macs } of entries) counts[kind] += macs;
  return counts;
}

export function totalMacs({ attention, linear, convolution }: MacCounts): number {
  return attention + linear + convolution;
}
