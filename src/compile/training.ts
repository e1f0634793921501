/** @file Compiles graphs whose parameters change from run to run. */
import type { Graph } from '../graph/graph.ts';
import { simplify } from '../graph/rewrite.ts';
import { lowerGraph } from '../onnx/lower.ts';
import type { Backend, Session, SessionOptions } from '../runtime/session.ts';

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
