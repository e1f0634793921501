/**
 * @file The reference evaluator: graphs in plain float64, slow and obvious. It is what gradients and ONNX Runtime are
 * tested against, so every rule is the definition of its operation and uses no other operation.
 */
import { ShapeError } from '../../core/errors.ts';
import { type HostTensor, toNumbers } from '../../core/host-tensor.ts';
import { formatShape, sameShape } from '../../core/shape.ts';
import type { Graph } from '../graph/graph.ts';
import { isOp, type OpName, type Tensor } from '../graph/tensor.ts';
import { topologicalOrder } from '../graph/traverse.ts';
import * as attention from './attention.ts';
import * as elementwise from './elementwise.ts';
import * as movement from './movement.ts';
import * as products from './products.ts';
import * as quantisation from './quantisation.ts';
import type { EvaluateRule, Value } from './value.ts';
import * as windows from './windows.ts';

/** Leaves are fed. */
type Fed = 'input' | 'parameter';

/** The rule of every operation; one without a rule does not compile. */
export const EVALUATE: { readonly [O in Exclude<OpName, Fed>]: EvaluateRule<O> } = {
  constant: (_, { value }) => Float64Array.from(toNumbers(value)),
  neg: elementwise.neg,
  exp: elementwise.exp,
  log: elementwise.log,
  sqrt: elementwise.sqrt,
  reciprocal: elementwise.reciprocal,
  sin: elementwise.sin,
  cos: elementwise.cos,
  tanh: elementwise.tanh,
  erf: elementwise.erfRule,
  sigmoid: elementwise.sigmoid,
  relu: elementwise.relu,
  gelu: elementwise.gelu,
  geluGate: elementwise.geluGate,
  cast: elementwise.cast,
  stopGradient: elementwise.stopGradient,
  add: elementwise.add,
  sub: elementwise.sub,
  mul: elementwise.mul,
  div: elementwise.div,
  maximum: elementwise.maximum,
  minimum: elementwise.minimum,
  less: elementwise.less,
  where: elementwise.where,
  sum: movement.sum,
  mean: movement.mean,
  reshape: movement.reshape,
  transpose: movement.transpose,
  broadcastTo: movement.broadcastTo,
  slice: movement.slice,
  concat: movement.concat,
  pad: movement.pad,
  reverse: movement.reverse,
  takeRows: movement.takeRows,
  addRows: movement.addRows,
  matmul: products.matmul,
  linear: products.linear,
  weightScales: quantisation.weightScales,
  quantizeWeight: quantisation.quantizeWeight,
  quantizedLinear: quantisation.quantizedLinear,
  conv2d: windows.conv2d,
  conv2dWeightGradient: windows.conv2dWeightGradient,
  depthwiseConv2d: windows.depthwiseConv2d,
  depthwiseConv2dWeightGradient: windows.depthwiseConv2dWeightGradient,
  maxPool2d: windows.maxPool2d,
  averagePool2d: windows.averagePool2d,
  resizeNearest: windows.resizeNearest,
  softmax: attention.softmax,
  layerNorm: attention.layerNorm,
  modulatedNorm: attention.modulatedNorm,
  inverseDeviation: attention.inverseDeviation,
  l2Normalize: attention.l2Normalize,
  inverseNorm: attention.inverseNorm,
  rotary: attention.rotary,
  attention: attention.attention,
  attentionWeights: attention.attentionWeights,
};

/**
 * The outputs of a graph by name.
 *
 *     const graph = graphOf({ y: square(input('x', [2])) });
 *     console.log(evaluate(graph, new Map([['x', tensorOf('f32', [2], [3, 4])]])).get('y'));
 *
 * @param feeds - a value for every input and parameter by name. Their dtype may differ from the declared one: float64
 * feeds keep digits that float32 would lose, which central differences need.
 * @throws ShapeError if a feed is missing or has another shape than its leaf
 */
export function evaluate(graph: Graph, feeds: ReadonlyMap<string, HostTensor>): Map<string, Value> {
  const values = new Map<Tensor, Value>();
  for (const tensor of topologicalOrder(graph.values())) {
    const data =
      isOp(tensor, 'input') || isOp(tensor, 'parameter') ? feedOf(tensor, feeds) : applyRule(tensor, values);
    values.set(tensor, { shape: tensor.shape, data });
  }
  return new Map([...graph].map(([name, tensor]) => [name, values.get(tensor)!]));
}

function applyRule(tensor: Tensor, values: ReadonlyMap<Tensor, Value>): Float64Array {
  const rule = EVALUATE[tensor.op as Exclude<OpName, Fed>] as EvaluateRule<OpName>;
  return rule(tensor.shape, tensor.params, ...tensor.inputs.map((input) => values.get(input)!));
}

function feedOf(leaf: Tensor, feeds: ReadonlyMap<string, HostTensor>): Float64Array {
  const { name } = leaf.params as { readonly name: string };
  const feed = feeds.get(name);
  if (feed === undefined) {
    throw new ShapeError({
      where: 'evaluate',
      problem: `no value is fed for ${leaf.op} ${name} of ${leaf.dtype}${formatShape(leaf.shape)}`,
      fix: `add ${name} to the feeds`,
    });
  }
  if (!sameShape(feed.shape, leaf.shape)) {
    throw new ShapeError({
      where: 'evaluate',
      problem: `${leaf.op} ${name} has shape ${formatShape(leaf.shape)}, its feed has ${formatShape(feed.shape)}`,
    });
  }
  return Float64Array.from(toNumbers(feed));
}
