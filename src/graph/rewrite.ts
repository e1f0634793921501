/** @file Rewriting graphs: passes are pure, a rewritten graph shares what did not change. */
import { sizeOf } from '../core/shape.ts';
import type { Graph } from './graph.ts';
import {
  add,
  broadcastTo,
  geluGate,
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
import { topologicalOrder } from './traverse.ts';

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

const keep = (tensor: Tensor, inputs: readonly Tensor[]): Tensor =>
  inputs.every((input, i) => input === tensor.inputs[i]) ? tensor : rebuild(tensor, inputs);

/** Common subexpressions become one node. */
export function shareCommon(graph: Graph): Graph {
  const known = new Map<string, Tensor>();
  return mapGraph(graph, (tensor, inputs) => {
    if (tensor.op === 'input' || tensor.op === 'parameter') return tensor;
    const params = isOp(tensor, 'constant') ? constantKey(tensor) : JSON.stringify(tensor.params);
    const key = `${tensor.op} ${params} ${inputs.map((input) => input.id).join(' ')}`;
    const existing = known.get(key);
    if (existing !== undefined) return existing;
    const made = keep(tensor, inputs);
    known.set(key, made);
    return made;
  });
}

function constantKey(tensor: Tensor): string {
  if (!isOp(tensor, 'constant') || sizeOf(tensor.shape) > 64) return `#${tensor.id}`;
  return `${tensor.dtype} ${tensor.shape} ${tensor.params.value.data}`;
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

const isZero = (x: Tensor): boolean =>
  isConstant(x, 0) || (isOp(x, 'broadcastTo') && isConstant(x.inputs[0]!, 0));

/**
 * Where a gradient already asks for the statistic inside a fused operation (the gate of GELU, the norm, the attention
 * weights), the forward value is computed from it instead of a second time.
 */
export function shareStatistics(graph: Graph): Graph {
  const statistics = new Set<string>();
  const keyOf = (op: string, params: unknown, inputs: readonly Tensor[]) =>
    `${op} ${JSON.stringify(params)} ${inputs.map((input) => input.id).join(' ')}`;
  for (const tensor of topologicalOrder(graph.values())) {
    if (tensor.op === 'geluGate' || tensor.op === 'inverseNorm' || tensor.op === 'attentionWeights') {
      statistics.add(keyOf(tensor.op, tensor.params, tensor.inputs));
    }
  }
  const shared = mapGraph(graph, (tensor, inputs) => {
    const [a, b, c] = inputs;
    const wanted = (op: string, used: readonly Tensor[]) => statistics.has(keyOf(op, tensor.params, used));
    if (isOp(tensor, 'gelu') && wanted('geluGate', tensor.inputs)) {
      return mul(a!, geluGate(a!, tensor.params.approximate));
    }
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
  return shareStatistics(shareCommon(dropNeutral(graph)));
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
  const depends = new Set<Tensor>(); // on an input of the run
  for (const tensor of order) {
    if (tensor.op === 'input' || tensor.inputs.some((input) => depends.has(input))) depends.add(tensor);
  }
  const folded = new Map<string, Tensor>();
  const replacement = new Map<Tensor, Tensor>();
  for (const tensor of order) {
    if (!depends.has(tensor)) continue;
    for (const input of tensor.inputs) {
      // Parameters are float32: masks and indices stay in the rest.
      if (depends.has(input) || input.inputs.length === 0 || input.dtype !== 'f32') continue;
      if (replacement.has(input)) continue;
      const name = `folded.${folded.size}`;
      folded.set(name, input);
      replacement.set(input, parameter(name, input.shape));
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

/** Sums many tensors of one shape as a balanced tree, which keeps rounding and the depth of the graph low. */
export function addAll(terms: readonly Tensor[]): Tensor {
  if (terms.length === 1) return terms[0]!;
  const middle = terms.length >> 1;
  return add(addAll(terms.slice(0, middle)), addAll(terms.slice(middle)));
}
