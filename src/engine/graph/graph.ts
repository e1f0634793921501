/** @file A graph: named outputs, and through them everything they need. */
import { ConfigError, ShapeError } from '../../core/errors.ts';
import { sameShape } from '../../core/shape.ts';
import { INFER, type Inferred } from './infer.ts';
import { isOp, type OpParams, type Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';

/** The outputs of a computation by name; inputs and parameters are found by walking from them. */
export type Graph = ReadonlyMap<string, Tensor>;

export function graphOf(outputs: Readonly<Record<string, Tensor>>): Graph {
  return new Map(Object.entries(outputs));
}

export type Leaf = Tensor & { readonly params: OpParams['input'] };

/** Leaves of one kind in order of creation. */
export function leavesOf(graph: Graph, kind: 'input' | 'parameter'): Leaf[] {
  return topologicalOrder(graph.values()).filter((tensor): tensor is Leaf => isOp(tensor, kind));
}

/**
 * Checks that a session can tell outputs from leaves.
 *
 * @throws ConfigError naming an output that is called as an input or a parameter is
 */
export function expectDistinctNames(graph: Graph): void {
  for (const kind of ['input', 'parameter'] as const) {
    const leaf = leavesOf(graph, kind).find(({ params: { name } }) => graph.has(name));
    if (leaf === undefined) continue;
    const { name } = leaf.params;
    throw new ConfigError({
      where: 'graph',
      problem: `an output and ${kind === 'input' ? 'an input' : 'a parameter'} are both named "${name}"`,
      fix: `name the output otherwise, such as "next ${name}"`,
    });
  }
}

/**
 * Checks that every node is what its rule would make, and that names of leaves are unique.
 *
 * @throws ShapeError naming the first node that is not
 */
export function checkGraph(graph: Graph): void {
  const names = new Set<string>();
  for (const tensor of topologicalOrder(graph.values())) {
    const where = `checkGraph: ${tensor.op} (${tensor.scope || 'top level'})`;
    if (tensor.inputs.some((input) => input.id >= tensor.id)) {
      throw new ShapeError({ where, problem: 'an input was made after its user' });
    }
    if (isOp(tensor, 'input') || isOp(tensor, 'parameter')) {
      const { name } = tensor.params as OpParams['input'];
      if (names.has(name)) throw new ShapeError({ where, problem: `two leaves are named ${name}` });
      names.add(name);
      continue;
    }
    const infer = INFER[tensor.op as 'add'] as (
      inputs: readonly Tensor[],
      params: unknown,
      op: string,
    ) => Inferred;
    const { shape, dtype } = infer(tensor.inputs, tensor.params, tensor.op);
    if (!sameShape(shape, tensor.shape) || dtype !== tensor.dtype) {
      throw new ShapeError({
        where,
        problem: `carries ${tensor.dtype}[${tensor.shape}], its rule makes ${dtype}[${shape}]`,
      });
    }
  }
}
