/** @file Running a graph once on a fixture's tensors. */

import type { HostTensor, TensorMap } from '../../src/core/host-tensor.ts';
import { compileInference } from '../../src/engine/compile/inference.ts';
import { compileTraining } from '../../src/engine/compile/training.ts';
import { checkGraph, graphOf } from '../../src/engine/graph/graph.ts';
import { input } from '../../src/engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../src/engine/graph/tensor.ts';
import type { Backend } from '../../src/engine/runtime/session.ts';
import { requireTensor } from './fixture.ts';

/** Inputs of a graph that are fed with a fixture's tensors of the same names. */
export function inputsFrom(tensors: TensorMap, where: string): (name: string) => Unlabelled {
  const made = new Map<string, Unlabelled>();
  return (name) => {
    const { shape, dtype } = requireTensor(tensors, name, where);
    const leaf = made.get(name) ?? input(name, shape, dtype);
    made.set(name, leaf);
    return leaf;
  };
}

/** Outputs may have the names of inputs, as a fixture records values that are both. */
const PREFIX = 'computed ';

/**
 * Computes the outputs; with `weights` they are folded into the model as for inference, without they are among `feeds`.
 */
export async function runGraph(
  outputs: Readonly<Record<string, Tensor>>,
  feeds: TensorMap,
  backend: Backend,
  weights?: TensorMap,
): Promise<Map<string, HostTensor>> {
  const named = Object.entries(outputs).map(([name, tensor]) => [PREFIX + name, tensor]);
  const graph = graphOf(Object.fromEntries(named));
  checkGraph(graph);
  const session =
    weights === undefined
      ? await compileTraining(graph, backend)
      : await compileInference(graph, weights, backend);
  const results = await session.run(feeds);
  await session.release();
  return new Map([...results].map(([name, value]) => [name.slice(PREFIX.length), value]));
}
