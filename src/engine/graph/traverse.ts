/** @file Walking a graph. */
import type { Tensor } from './tensor.ts';

/** Every node that `outputs` need, inputs before users. Ids grow with creation, so sorting by id is topological. */
export function topologicalOrder(outputs: Iterable<Tensor>): Tensor[] {
  const seen = new Set<Tensor>();
  const pending = [...outputs];
  for (let tensor = pending.pop(); tensor !== undefined; tensor = pending.pop()) {
    if (seen.has(tensor)) continue;
    seen.add(tensor);
    pending.push(...tensor.inputs);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/** How many nodes of `order` (and outputs) read each node. */
export function countUses(order: readonly Tensor[], outputs: Iterable<Tensor>): Map<Tensor, number> {
  const uses = new Map<Tensor, number>();
  const use = (tensor: Tensor) => uses.set(tensor, (uses.get(tensor) ?? 0) + 1);
  for (const tensor of order) tensor.inputs.forEach(use);
  for (const output of outputs) use(output);
  return uses;
}

/** Nodes of `order` whose value changes from run to run: inputs, and what is computed from them. */
export function dependingOnInputs(order: readonly Tensor[]): Set<Tensor> {
  const depending = new Set<Tensor>();
  for (const tensor of order) {
    if (tensor.op === 'input' || tensor.inputs.some((input) => depending.has(input))) depending.add(tensor);
  }
  return depending;
}
