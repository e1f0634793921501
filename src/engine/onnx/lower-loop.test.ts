import { expect, test } from 'vitest';
import { scalar, tensorOf } from '../../core/host-tensor.ts';
import { graphOf } from '../graph/graph.ts';
import { add, cast, input, mul, parameter } from '../graph/operators.ts';
import { cpuBackend } from '../runtime/cpu-node.ts';
import { lowerLoop } from './lower-loop.ts';
import { PORTABLE } from './lowering.ts';
import { serialiseModel } from './model-writer.ts';

test('values are carried on, the index counts, other inputs stay', async () => {
  // x ← w x + i + bias, and y ← x + y with the x before the step
  const [x, y, index, bias] = [input('x', [2]), input('y', [2]), input('i', [], 'i64'), input('bias', [])];
  const next = add(add(mul(parameter('w', [2]), x), cast(index, 'f32')), bias);
  const { proto } = lowerLoop(graphOf({ next, total: add(x, y), unused: mul(x, x) }), {
    features: PORTABLE,
    weights: new Map([['w', tensorOf('f32', [2], [2, -1])]]),
    count: 4,
    index: 'i',
    carried: [
      { input: 'x', output: 'next', first: 'start', last: 'end' },
      { input: 'y', output: 'total', last: 'sum' },
    ],
  });
  expect(proto.graph!.input.map(({ name }) => name)).toEqual(['start', 'bias']);
  const session = await cpuBackend.createSession({ bytes: serialiseModel(proto) }, { purpose: 'inference' });
  const results = await session.run(
    new Map([
      ['start', tensorOf('f32', [2], [1, 10])],
      ['bias', scalar('f32', 0.5)],
    ]),
  );
  await session.release();

  const expected = [1, 10].map((start, k) => {
    let [value, sum] = [start, 0];
    for (let i = 0; i < 4; i++) [value, sum] = [[2, -1][k]! * value + i + 0.5, sum + value];
    return { value, sum };
  });
  expect(Array.from(results.get('end')!.data, Number)).toEqual(expected.map(({ value }) => value));
  expect(Array.from(results.get('sum')!.data, Number)).toEqual(expected.map(({ sum }) => sum));
});
