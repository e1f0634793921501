import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { scalar, tensorOf, toNumbers, zeros } from '../../core/host-tensor.ts';
import { normal, randomKey } from '../../core/random.ts';
import { rotaryTables } from '../../networks/nn/rotary.ts';
import { type Graph, graphOf } from '../graph/graph.ts';
import {
  add,
  broadcastTo,
  concat,
  constant,
  exp,
  input,
  mul,
  neg,
  reshape,
  rotary,
  slice,
} from '../graph/operators.ts';
import { evaluate } from '../interp/evaluate.ts';
import { cpuBackend } from '../runtime/cpu-node.ts';
import { TRACED_BATCH_SIZES, withDynamicBatch } from './dynamic-batch.ts';
import { lowerToParts } from './lower.ts';
import { lowerLoop } from './lower-loop.ts';
import { PORTABLE } from './lowering.ts';
import { modelValues, serialiseModel } from './model-writer.ts';

/** Everything whose constants depend on the batch: reshaping, cutting, stretching, positions. */
function build(count: number): Graph {
  const x = input('x', [count, 4, 8]);
  const pairs = concat([x, mul(x, 2)], 0); // [2N, 4, 8]
  const tables = rotaryTables({ height: 2, width: 2 }, 4);
  const turned = rotary(pairs, tables.cos, tables.sin, 2);
  const grouped = reshape(turned, [2 * count * 2, 2, 8]);
  const second = slice(reshape(grouped, pairs.shape), 0, count, 2 * count);
  const stretched = broadcastTo(reshape(input('t', []), [1, 1, 1]), [count, 4, 8]);
  return graphOf({ y: add(second, stretched) });
}

const feedsOf = (count: number) =>
  new Map([
    ['x', tensorOf('f32', [count, 4, 8], normal(randomKey(count), count * 32))],
    ['t', scalar('f32', 0.25)],
  ]);

describe.each([
  ['a graph', (graph: Graph) => lowerToParts(graph, { features: PORTABLE, weights: new Map() })],
  [
    'the body of a loop of one run',
    (graph: Graph) =>
      lowerLoop(graph, {
        features: PORTABLE,
        weights: new Map(),
        count: 1,
        index: 'none',
        carried: [{ input: 'x', output: 'y', first: 'x', last: 'y' }],
      }),
  ],
])('%s', (_, lower) => {
  test('is computed for any number of images', async () => {
    const model = withDynamicBatch(TRACED_BATCH_SIZES.map((size) => lower(build(size)).proto));
    expect(modelValues(model).outputs).toEqual([{ name: 'y', dtype: 'f32', shape: ['N', 4, 8] }]);
    const session = await cpuBackend.createSession(
      { bytes: serialiseModel(model) },
      { purpose: 'inference' },
    );
    for (const count of [1, 2, 7]) {
      const feeds = feedsOf(count);
      const y = (await session.run(feeds)).get('y')!;
      expect(y.shape).toEqual([count, 4, 8]);
      expectClose(toNumbers(y), evaluate(build(count), feeds).get('y')!.data, { relative: 2e-6 });
    }
    await session.release();
  });
});

describe('what depends on the batch size in another way is refused', () => {
  const unify = (build: (count: number) => Graph) =>
    withDynamicBatch(
      TRACED_BATCH_SIZES.map((size) => lowerToParts(build(size), { features: PORTABLE }).proto),
    );

  test('a number', () => {
    expect(() =>
      unify((count) => graphOf({ y: mul(input('x', [count]), 1 / count) })),
    ).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: withDynamicBatch: more than a linear function of the batch size differs: the constant constant_0 does, and is no vector of integers
        fix: lower the graph for one batch size]
    `);
  });

  test('a constant with a value per image', () => {
    const zerosOf = (count: number) => constant(zeros('f32', [count]));
    expect(() =>
      unify((count) => graphOf({ y: add(input('x', [count]), zerosOf(count)) })),
    ).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: withDynamicBatch: more than a linear function of the batch size differs: the constant constant_0 does, and is no vector of integers
        fix: lower the graph for one batch size]
    `);
  });

  test('a length that grows with its square', () => {
    expect(() =>
      unify((count) => graphOf({ y: broadcastTo(input('x', [count]), [count * count, count]) })),
    ).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: withDynamicBatch: more than a linear function of the batch size differs: an axis of y is 100140049, 100180081, 100741369
        fix: lower the graph for one batch size]
    `);
  });

  test('an operation', () => {
    const cut = (count: number) => (count === TRACED_BATCH_SIZES[0] ? neg : exp)(input('x', [count]));
    expect(() => unify((count) => graphOf({ y: cut(count) }))).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: withDynamicBatch: more than a linear function of the batch size differs: node /Neg_0 does
        fix: lower the graph for one batch size]
    `);
  });

  test('nothing: no input has such an axis', () => {
    expect(() => unify(() => graphOf({ y: neg(input('x', [2])) }))).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: withDynamicBatch: more than a linear function of the batch size differs: no input has an axis of the batch size
        fix: lower the graph for one batch size]
    `);
  });
});
