/** @file Which operations of a graph a device cannot run, found by loading each of them alone. */
import { RuntimeUnavailableError } from '../../core/errors.ts';
import type { Graph } from '../graph/graph.ts';
import { input } from '../graph/operators.ts';
import { formatType } from '../graph/print.ts';
import { keep } from '../graph/rewrite.ts';
import type { Tensor } from '../graph/tensor.ts';
import { topologicalOrder } from '../graph/traverse.ts';
import { lowerGraph } from '../onnx/lower.ts';
import type { Backend, Session } from '../runtime/session.ts';

/** How ONNX Runtime says that it would have run a part of the model elsewhere. */
const NOT_WHOLE = 'fallback to CPU EP has been explicitly disabled';

/**
 * Loads a graph that has been lowered for a backend.
 *
 * @param load - makes the session
 * @throws RuntimeUnavailableError that names what a GPU has no kernel for
 */
export async function loadWhole(
  graph: Graph,
  backend: Backend,
  load: () => Promise<Session>,
): Promise<Session> {
  try {
    return await load();
  } catch (cause) {
    if (!(cause instanceof RuntimeUnavailableError && cause.problem.includes(NOT_WHOLE))) throw cause;
    const missing = await missingKernels(graph, backend);
    if (missing.length === 0) throw cause;
    throw new RuntimeUnavailableError({
      where: `runtime ${backend.name}`,
      problem: `it has no kernels for ${missing.length} of the operations in this graph`,
      facts: missing.map((tensor) => [tensor.op, describeOperation(tensor)] as const),
      fix: 'run it on the CPU',
      cause,
    });
  }
}

function describeOperation(tensor: Tensor): string {
  const operands = tensor.inputs.map(formatType).join(', ');
  const place = tensor.scope === '' ? '' : `, as in ${tensor.scope}`;
  return `${formatType(tensor)} of ${operands}${place}`;
}

/** One node of each kind that cannot be loaded. */
async function missingKernels(graph: Graph, backend: Backend): Promise<Tensor[]> {
  const kinds = new Map<string, Tensor>();
  for (const tensor of topologicalOrder(graph.values())) {
    if (tensor.inputs.length === 0) continue;
    const key = `${tensor.op} ${tensor.dtype} ${tensor.inputs.map(({ dtype, shape }) => dtype + shape.length)}`;
    if (!kinds.has(key)) kinds.set(key, tensor);
  }
  const features = await backend.features();
  const missing: Tensor[] = [];
  for (const tensor of kinds.values()) {
    const operands = tensor.inputs.map(({ shape, dtype }, i) => input(`operand ${i}`, shape, dtype));
    const alone = new Map([['y', keep(tensor, operands)]]);
    try {
      const session = await backend.createSession(lowerGraph(alone, { features }), { purpose: 'training' });
      await session.release();
    } catch {
      missing.push(tensor);
    }
  }
  return missing;
}
