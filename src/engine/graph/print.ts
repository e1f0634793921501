/** @file Printing graphs in the notation of jaxprs: `c:f32[2,384] = matmul a b`. */
import { toNumbers } from '../../core/host-tensor.ts';
import { formatShape, sizeOf } from '../../core/shape.ts';
import type { Graph } from './graph.ts';
import { isOp, type Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';

/** `f32[2,384]` */
export function formatType(tensor: Tensor): string {
  return `${tensor.dtype}${formatShape(tensor.shape)}`;
}

/** The whole graph, one line a node; small constants are written in place. */
export function formatGraph(graph: Graph): string {
  const letters = new Map<Tensor, string>();
  const nameOf = (tensor: Tensor): string => {
    if (isOp(tensor, 'constant') && sizeOf(tensor.shape) === 1) {
      return String(Number(toNumbers(tensor.params.value)[0]!.toPrecision(7)));
    }
    const known = letters.get(tensor);
    if (known !== undefined) return known;
    const letter = letterName(letters.size);
    letters.set(tensor, letter);
    return letter;
  };
  const order = topologicalOrder(graph.values());
  const leaves = order.filter((tensor) => tensor.op === 'input' || tensor.op === 'parameter');
  const header = leaves.map((leaf) => {
    const { name } = leaf.params as { readonly name: string };
    return `${nameOf(leaf)}:${formatType(leaf)} = ${leaf.op} ${name}`;
  });
  const body = order.flatMap((tensor) => {
    if (tensor.inputs.length === 0 && (tensor.op !== 'constant' || sizeOf(tensor.shape) === 1)) return [];
    const operands = tensor.inputs.map(nameOf).join(' ');
    return [
      `${nameOf(tensor)}:${formatType(tensor)} = ${tensor.op}${formatParams(tensor)} ${operands}`.trimEnd(),
    ];
  });
  const outputs = [...graph].map(([name, tensor]) => `${name}=${nameOf(tensor)}`);
  return [...header, ...body, `return ${outputs.join(' ')}`].join('\n');
}

function formatParams(tensor: Tensor): string {
  if (tensor.op === 'constant') return '';
  const entries = Object.entries(tensor.params).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return entries.length === 0 ? '' : `{${entries.join(' ')}}`;
}

/** a … z, aa, ab … */
function letterName(index: number): string {
  const letter = String.fromCharCode(97 + (index % 26));
  return index < 26 ? letter : letterName(Math.floor(index / 26) - 1) + letter;
}
