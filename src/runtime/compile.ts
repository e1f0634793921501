/** @file From a graph to something that runs: simplify, fold what is known, lower, load. */
import type { TensorMap } from '../core/host-tensor.ts';
import type { Graph } from '../graph/graph.ts';
import { leavesOf } from '../graph/graph.ts';
import { simplify, splitFoldable, splitLinears } from '../graph/rewrite.ts';
import { lowerGraph } from '../onnx/lower.ts';
import type { Backend, Session, SessionOptions } from './session.ts';

export type CompileOptions = Omit<SessionOptions, 'purpose'>;

/** Parameters stay inputs: for training, where they change at every step. */
export async function compileTraining(
  graph: Graph,
  backend: Backend,
  options: CompileOptions = {},
): Promise<Session> {
  const features = await backend.features();
  const model = lowerGraph(simplify(graph), { features });
  return backend.createSession(model, { ...options, purpose: 'training' });
}

/**
 * Weights are known: what depends on them alone is computed once, here, and the rest is specialised to it.
 * The given weights are not changed.
 */
export async function compileInference(
  graph: Graph,
  weights: TensorMap,
  backend: Backend,
  options: CompileOptions = {},
): Promise<Session> {
  const features = await backend.features();
  const { folded, rest } = splitFoldable(simplify(splitLinears(graph)));
  const known = new Map(weights);
  for (const [name, value] of await evaluateOnce(folded, weights, backend)) known.set(name, value);
  const model = lowerGraph(simplify(rest), { features, weights: known });
  return backend.createSession(model, { ...options, purpose: 'inference' });
}

/** Values of a graph that reads parameters only. */
async function evaluateOnce(graph: Graph, weights: TensorMap, backend: Backend): Promise<TensorMap> {
  if (graph.size === 0) return new Map();
  const session = await compileTraining(graph, backend);
  const needed = leavesOf(graph, 'parameter').map(
    ({ params: { name } }) => [name, weights.get(name)!] as const,
  );
  const values = await session.run(new Map(needed));
  await session.release();
  return values;
}
