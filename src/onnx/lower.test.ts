import { fromBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { graphOf } from '../graph/graph.ts';
import { input, linear, parameter, square, sum } from '../graph/operators.ts';
import { gradients } from '../graph/vjp.ts';
import { lowerGraph } from './lower.ts';
import { PORTABLE } from './lowering.ts';
import { ModelProtoSchema } from './schema/onnx_pb.ts';

test('outputs are the last nodes, the earliest computed last, and are declared in the order of the graph', () => {
  const x = input('x', [2, 3]);
  const layers = ['first', 'second', 'third'].map((name) => parameter(name, [3, 3]));
  const loss = sum(square(layers.reduce((y, weight) => linear(y, weight), x)));
  const [dFirst, dSecond, dThird] = gradients(loss, layers);
  const graph = graphOf({ dFirst: dFirst!, loss, dSecond: dSecond!, dThird: dThird! });
  const { node, output } = fromBinary(ModelProtoSchema, lowerGraph(graph, { features: PORTABLE })).graph!;

  expect(output.map(({ name }) => name)).toEqual(['dFirst', 'loss', 'dSecond', 'dThird']);
  const written = node.flatMap((writer) => writer.output.filter((name) => graph.has(name)));
  // Executed from the last to the first: the loss, then gradients from the last layer to the first.
  expect(written).toEqual(['dFirst', 'dSecond', 'dThird', 'loss']);
  const firstUnread = node.findIndex(
    ({ output: [name] }) => !node.some((user) => user.input.includes(name!)),
  );
  expect(firstUnread).toBeGreaterThanOrEqual(node.length - 2 * graph.size);
});

test('an output that other nodes read, and one under two names, are computed once', () => {
  const x = input('x', [2]);
  const y = square(x);
  const graph = graphOf({ y, z: sum(y), same: y });
  const { node } = fromBinary(ModelProtoSchema, lowerGraph(graph, { features: PORTABLE })).graph!;
  expect(node.map(({ opType }) => opType).sort()).toEqual([
    'Identity',
    'Identity',
    'Identity',
    'Mul',
    'ReduceSum',
  ]);
});
