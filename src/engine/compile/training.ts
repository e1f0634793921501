/** @file Compiles graphs whose parameters are fed at every run. */
import type { Graph } from '../graph/graph.ts';
import { simplify } from '../graph/rewrite.ts';
import { lowerGraph } from '../onnx/lower.ts';
import type { Backend, Session, SessionOptions } from '../runtime/session.ts';
import { loadWhole } from './missing-kernels.ts';

export type CompileOptions = Omit<SessionOptions, 'purpose'>;

/** Parameters stay inputs: for a graph that computes with many sets of them. */
export async function compileFed(graph: Graph, backend: Backend, options: SessionOptions): Promise<Session> {
  backend.start?.(options.threads);
  const features = await backend.features();
  const simplified = simplify(graph);
  return loadWhole(simplified, backend, () =>
    backend.createSession(lowerGraph(simplified, { features }), options),
  );
}

/** The same for training, where parameters change at every step. */
export function compileTraining(
  graph: Graph,
  backend: Backend,
  options: CompileOptions = {},
): Promise<Session> {
  return compileFed(graph, backend, { ...options, purpose: 'training' });
}
