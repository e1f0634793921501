/** @file Rewriting graphs: passes are pure, a rewritten graph shares what did not change. */
import type { DType } from '../../core/dtype.ts';
import { type Shape, sameShape, sizeOf } from '../../core/shape.ts';
import type { Graph } from './graph.ts';
import {
  add,
  broadcastTo,
  concat,
  inverseNorm,
  isConstant,
  matmul,
  mergeHeads,
  mul,
  parameter,
  rebuild,
  softmax,
  splitHeads,
} from './operators.ts';
import { isOp, type OpParams, type Tensor, withScope } from './tensor.ts';
import { dependingOnInputs, topologicalOrder } from './traverse.ts';

/** Rebuilds a graph from the leaves up; `visit` gets each node with its inputs already replaced. */
export function mapGraph(graph: Graph, visit: (tensor: Tensor, inputs: readonly Tensor[]) => Tensor): Graph {
  const replaced = new Map<Tensor, Tensor>();
  for (const tensor of topologicalOrder(graph.values())) {
    const inputs = tensor.inputs.map((input) => replaced.get(input)!);
    replaced.set(
      tensor,
      withScope(tensor.scope, () => visit(tensor, inputs)),
    );
  }
  return new Map([...graph].map(([name, tensor]) => [name, replaced.get(tensor)!]));
}

/** The node itself where its inputs are the same, else the same operation on the new ones. */
export const keep = (tensor: Tensor, inputs: readonly Tensor[]): Tensor =>
  inputs.every((input, i) => input === tensor.inputs[i]) ? tensor : rebuild(tensor, inputs);

/** The graph with inputs of these names replaced by what is computed for them. */
export function bindInputs(graph: Graph, values: ReadonlyMap<string, Tensor>): Graph {
  return mapGraph(graph, (tensor, inputs) => {
    const value = isOp(tensor, 'input') ? values.get(tensor.params.name) : undefined;
    return value ?? keep(tensor, inputs);
  });
}

/** Common subexpressions become one node. */
export function shareCommon(graph: Graph): Graph {
  const known = new Map<string, Tensor>();
  return mapGraph(graph, (tensor, inputs) => {
    if (tensor.op === 'input' || tensor.op === 'parameter') return tensor;
    const key = `${describeOp(tensor)} ${inputs.map((input) => input.id).join(' ')}`;
    const existing = known.get(key);
    if (existing !== undefined) return existing;
    const made = keep(tensor, inputs);
    known.set(key, made);
    return made;
  });
}

/** What a node does with its inputs, as text; equal only for equal operations. */
export function describeOp(tensor: Tensor): string {
  const { op, dtype, shape, params, id } = tensor;
  if (!isOp(tensor, 'constant')) return `${op} ${JSON.stringify(params)}`;
  return sizeOf(shape) > 64 ? `constant #${id}` : `constant ${dtype} ${shape} ${tensor.params.value.data}`;
}

/** x + 0 and x · 1 cost a pass over memory each; gradients make many of them. */
export function dropNeutral(graph: Graph): Graph {
  return mapGraph(graph, (tensor, inputs) => {
    const [a, b] = inputs;
    if (isOp(tensor, 'mul')) {
      if (isConstant(b!, 1)) return broadcastTo(a!, tensor.shape);
      if (isConstant(a!, 1)) return broadcastTo(b!, tensor.shape);
    }
    if (isOp(tensor, 'add') || isOp(tensor, 'sub')) {
      if (isZero(b!)) return broadcastTo(a!, tensor.shape);
      if (isOp(tensor, 'add') && isZero(a!)) return broadcastTo(b!, tensor.shape);
    }
    if (isOp(tensor, 'stopGradient')) return a!;
    return keep(tensor, inputs);
  });
}

/** A part that is cut out of a concatenation is what was put there. */
export function reuseParts(graph: Graph): Graph {
  return mapGraph(graph, (tensor, inputs) => {
    const [x] = inputs;
    const part = isOp(tensor, 'slice') && isOp(x!, 'concat') ? partAt(x, tensor.params) : undefined;
    return part ?? keep(tensor, inputs);
  });
}

/** Which of the concatenated tensors lies at these bounds, if one does? */
function partAt(
  { params, inputs }: Tensor & { readonly params: OpParams['concat'] },
  { axis, start, end }: OpParams['slice'],
): Tensor | undefined {
  if (params.axis !== axis) return undefined;
  let offset = 0;
  for (const part of inputs) {
    const after = offset + part.shape[axis]!;
    if (offset === start && after === end) return part;
    offset = after;
  }
  return undefined;
}

/** Gradients of `chunk`: a sum of parts, each padded to the place it was cut from, is their concatenation. */
export function joinChunks(graph: Graph): Graph {
  return mapGraph(graph, (tensor, inputs) => {
    const sum = keep(tensor, inputs);
    const pads = isOp(sum, 'add') ? paddedTerms(sum) : undefined;
    return (pads && concatenationOf(pads, sum.shape)) ?? sum;
  });
}

type Padded = Tensor & { readonly params: OpParams['pad'] };

/** The terms of a sum of padded tensors; undefined if it has others. */
function paddedTerms(tensor: Tensor): Padded[] | undefined {
  if (isOp(tensor, 'pad')) return [tensor];
  if (!isOp(tensor, 'add')) return undefined;
  const a = paddedTerms(tensor.inputs[0]!);
  const b = a && paddedTerms(tensor.inputs[1]!);
  return b && [...a, ...b];
}

/** What was padded, side by side, if together it fills `shape` along one axis without overlap. */
function concatenationOf(pads: readonly Padded[], shape: Shape): Tensor | undefined {
  const startOf = (pad: Padded, axis: number) => pad.params.before[axis]!;
  const axis = shape.findIndex((length, i) => length !== pads[0]!.inputs[0]!.shape[i]);
  const sorted = pads.toSorted((a, b) => startOf(a, axis) - startOf(b, axis));
  let end = 0;
  for (const pad of sorted) {
    const part = pad.inputs[0]!.shape;
    if (startOf(pad, axis) !== end || !sameShape(part.with(axis, shape[axis]!), shape)) return undefined;
    end += part[axis]!;
  }
  if (end !== shape[axis]) return undefined;
  return concat(
    sorted.map(({ inputs }) => inputs[0]!),
    axis,
  );
}

const isZero = (x: Tensor): boolean =>
  isConstant(x, 0) || (isOp(x, 'broadcastTo') && isConstant(x.inputs[0]!, 0));

/**
 * Where a gradient already asks for the statistic inside a fused operation (the norm, the attention weights), the
 * forward value is computed from it instead of a second time. GELU is not among them: its fused form is one pass, and
 * the gate is as fast computed again in the backward pass as kept until then (LOG.md).
 */
export function shareStatistics(graph: Graph): Graph {
  const statistics = new Set<string>();
  const keyOf = (op: string, params: unknown, inputs: readonly Tensor[]) =>
    `${op} ${JSON.stringify(params)} ${inputs.map((input) => input.id).join(' ')}`;
  for (const tensor of topologicalOrder(graph.values())) {
    if (tensor.op === 'inverseNorm' || tensor.op === 'attentionWeights') {
      statistics.add(keyOf(tensor.op, tensor.params, tensor.inputs));
    }
  }
  const shared = mapGraph(graph, (tensor, inputs) => {
    const [a, b, c] = inputs;
    const wanted = (op: string, used: readonly Tensor[]) => statistics.has(keyOf(op, tensor.params, used));
    if (isOp(tensor, 'l2Normalize') && wanted('inverseNorm', tensor.inputs)) {
      return mul(a!, inverseNorm(a!, tensor.params.eps));
    }
    if (isOp(tensor, 'attention') && wanted('attentionWeights', tensor.inputs.slice(0, 2))) {
      const weights = explicitWeights(a!, b!, tensor.params);
      return mergeHeads(matmul(weights, splitHeads(c!, tensor.params.heads)));
    }
    if (isOp(tensor, 'attentionWeights')) return explicitWeights(a!, b!, tensor.params);
    return keep(tensor, inputs);
  });
  return shareCommon(shared);
}

/** Attention weights from heads that are split once for the forward value and the gradient. */
function explicitWeights(q: Tensor, k: Tensor, { heads, scale }: OpParams['attentionWeights']): Tensor {
  // The scale goes on the queries, which are smaller than the scores.
  const queries = scale === 1 ? splitHeads(q, heads) : mul(splitHeads(q, heads), scale);
  return softmax(matmul(queries, splitHeads(k, heads), { transposeB: true }));
}

/** The passes that every graph goes through before it is lowered. */
export function simplify(graph: Graph): Graph {
  return shareStatistics(shareCommon(reuseParts(joinChunks(dropNeutral(graph)))));
}

/**
 * Splits off what depends on parameters and constants alone: merged convolution branches, products of stacked
 * projections, scaled and transposed weights.
 *
 * @returns `folded`: those values as a graph of its own (outputs `folded.0`, …); `rest`: the graph with them as
 * parameters of the same names
 */
export function splitFoldable(graph: Graph): { readonly folded: Graph; readonly rest: Graph } {
  const order = topologicalOrder(graph.values());
  const depends = dependingOnInputs(order);
  const folded = new Map<string, Tensor>();
  const replacement = new Map<Tensor, Tensor>();
  for (const tensor of order) {
    if (!depends.has(tensor)) continue;
    for (const input of tensor.inputs) {
      // Only numbers of weights: masks and indices stay in the rest.
      if (depends.has(input) || input.inputs.length === 0 || !isWeightType(input.dtype)) continue;
      if (replacement.has(input)) continue;
      const name = `folded.${folded.size}`;
      folded.set(name, input);
      replacement.set(input, parameter(name, input.shape, input.dtype));
    }
  }
  const restOf = new Map<Tensor, Tensor>();
  for (const tensor of order) {
    if (!depends.has(tensor)) {
      restOf.set(tensor, replacement.get(tensor) ?? tensor);
      continue;
    }
    const inputs = tensor.inputs.map((input) => restOf.get(input)!);
    restOf.set(
      tensor,
      withScope(tensor.scope, () => keep(tensor, inputs)),
    );
  }
  return { folded, rest: new Map([...graph].map(([name, tensor]) => [name, restOf.get(tensor)!])) };
}

const isWeightType = (dtype: DType): boolean => dtype === 'f32' || dtype === 'i8';

/** Sums many tensors of one shape as a balanced tree, which keeps rounding and the depth of the graph low. */
export function addAll(terms: readonly Tensor[]): Tensor {
  if (terms.length === 1) return terms[0]!;
  const middle = terms.length >> 1;
  return add(addAll(terms.slice(0, middle)), addAll(terms.slice(middle)));
}
