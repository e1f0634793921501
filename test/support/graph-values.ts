/** @file Graphs compared by what they compute. */
import { expect } from 'vitest';
import { type TensorMap, tensorOf } from '../../src/core/host-tensor.ts';
import { fold, normal, randomKey } from '../../src/core/random.ts';
import { sizeOf } from '../../src/core/shape.ts';
import { checkGraph, type Graph, leavesOf } from '../../src/engine/graph/graph.ts';
import type { OpName } from '../../src/engine/graph/tensor.ts';
import { topologicalOrder } from '../../src/engine/graph/traverse.ts';
import { evaluate } from '../../src/engine/interp/evaluate.ts';
import { expectClose } from './closeness.ts';

/** Normal values for every leaf of a graph. */
export function drawFeeds(graph: Graph): TensorMap {
  const leaves = [...leavesOf(graph, 'input'), ...leavesOf(graph, 'parameter')];
  return new Map(
    leaves.map(({ params: { name }, shape }) => [
      name,
      tensorOf('f32', shape, normal(fold(randomKey(5), name), sizeOf(shape))),
    ]),
  );
}

/** The graphs have the same outputs, with the same values. */
export function expectSameValues(before: Graph, after: Graph, feeds: TensorMap): void {
  checkGraph(after);
  expect([...after.keys()]).toEqual([...before.keys()]);
  const [expected, actual] = [evaluate(before, feeds), evaluate(after, feeds)];
  for (const [name, { shape, data }] of expected) {
    expect(actual.get(name)!.shape).toEqual(shape);
    expectClose(actual.get(name)!.data, data, { relative: 1e-12 });
  }
}

export const countOps = (graph: Graph, op: OpName): number =>
  topologicalOrder(graph.values()).filter((tensor) => tensor.op === op).length;
