/**
 * @file How many bytes of computed values are alive at once. Counted are values that depend on the inputs of a run, in
 * the order in which the graph was made, each from where it is computed to where it is last read. A reshape is a view.
 * Leaves and outputs are not counted: whoever runs the graph keeps them.
 */
import { BYTES_PER_ELEMENT } from '../../core/dtype.ts';
import { sizeOf } from '../../core/shape.ts';
import type { Graph } from './graph.ts';
import type { Tensor } from './tensor.ts';
import { dependingOnInputs, topologicalOrder } from './traverse.ts';

/** Most bytes alive at once. */
export function peakLiveBytes(graph: Graph): number {
  const order = topologicalOrder(graph.values());
  const counted = countedValues(graph, order);
  const lastReader = new Map<Tensor, Tensor>();
  for (const tensor of order) for (const read of tensor.inputs) lastReader.set(storageOf(read), tensor);
  let [alive, peak] = [0, 0];
  for (const tensor of order) {
    if (counted.has(tensor)) alive += bytesOf(tensor);
    peak = Math.max(peak, alive);
    for (const read of new Set(tensor.inputs.map(storageOf))) {
      if (counted.has(read) && lastReader.get(read) === tensor) alive -= bytesOf(read);
    }
  }
  return peak;
}

/** Bytes of what `output` was computed from and a later part of the graph reads again: what a gradient keeps. */
export function keptBytes(graph: Graph, output: Tensor): number {
  const order = topologicalOrder(graph.values());
  const counted = countedValues(graph, order);
  const before = new Set(topologicalOrder([output]));
  const kept = new Set<Tensor>();
  for (const tensor of order) {
    if (before.has(tensor)) continue;
    for (const read of tensor.inputs) {
      if (before.has(read) && counted.has(storageOf(read))) kept.add(storageOf(read));
    }
  }
  return [...kept].reduce((sum, tensor) => sum + bytesOf(tensor), 0);
}

function countedValues(graph: Graph, order: readonly Tensor[]): Set<Tensor> {
  const outputs = new Set([...graph.values()].map(storageOf));
  const varying = dependingOnInputs(order);
  return new Set(
    order.filter(
      (tensor) =>
        tensor.inputs.length > 0 &&
        varying.has(tensor) &&
        storageOf(tensor) === tensor &&
        !outputs.has(tensor),
    ),
  );
}

/** The value whose bytes these are. */
function storageOf(tensor: Tensor): Tensor {
  let storage = tensor;
  while (storage.op === 'reshape') storage = storage.inputs[0]!;
  return storage;
}

/** Bytes of a value. */
export function bytesOf({ shape, dtype }: Tensor): number {
  return sizeOf(shape) * BYTES_PER_ELEMENT[dtype];
}
