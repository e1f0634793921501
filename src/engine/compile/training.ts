/** @file Compiles graphs whose parameters are fed at every run. */
import { expectDistinctNames, type Graph } from '../graph/graph.ts';
import { simplify } from '../graph/rewrite.ts';
import { lowerGraph } from '../onnx/lower.ts';
import type { Backend, Session, SessionOptions } from '../runtime/session.ts';
import { loadWhole } from './missing-kernels.ts';

export type CompileOptions = Omit<SessionOptions, 'purpose'>;

/** A graph that has been lowered for a backend. Its sessions are made of the same bytes. */
export interface FedProgram {
  load(): Promise<Session>;
}

/** Parameters stay inputs: for a graph that computes with many sets of them. */
export async function lowerFed(graph: Graph, backend: Backend, options: SessionOptions): Promise<FedProgram> {
  expectDistinctNames(graph);
  backend.start?.(options.threads);
  const features = await backend.features();
  const simplified = simplify(graph);
  const model = lowerGraph(simplified, { features });
  return { load: () => loadWhole(simplified, backend, () => backend.createSession(model, options)) };
}

/** One session of {@link lowerFed}. */
export async function compileFed(graph: Graph, backend: Backend, options: SessionOptions): Promise<Session> {
  const program = await lowerFed(graph, backend, options);
  return program.load();
}

/**
 * The same for training, where parameters change at every step.
 *
 *     const [x, weight] = [input('x', [2]), parameter('weight', [2])];
 *     const loss = sum(square(sub(mul(x, weight), 1)));
 *     const [slope] = gradients(loss, [weight]);
 *     const session = await compileTraining(graphOf({ loss, slope: slope! }), cpuBackend);
 *     const values = { x: tensorOf('f32', [2], [1, 2]), weight: tensorOf('f32', [2], [3, 4]) };
 *     console.log(await session.run(new Map(Object.entries(values))));
 */
export function compileTraining(
  graph: Graph,
  backend: Backend,
  options: CompileOptions = {},
): Promise<Session> {
  return compileFed(graph, backend, { ...options, purpose: 'training' });
}
