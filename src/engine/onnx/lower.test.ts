import { fromBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { graphOf } from '../graph/graph.ts';
import {
  averagePool2d,
  concat,
  conv2d,
  input,
  linear,
  maxPool2d,
  parameter,
  relu,
  resizeNearest,
  square,
  sum,
} from '../graph/operators.ts';
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
  const { node, output } = fromBinary(ModelProtoSchema, lowerGraph(graph, { features: PORTABLE }).bytes)
    .graph!;

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
  const { node } = fromBinary(ModelProtoSchema, lowerGraph(graph, { features: PORTABLE }).bytes).graph!;
  expect(node.map(({ opType }) => opType).sort()).toEqual([
    'Identity',
    'Identity',
    'Identity',
    'Mul',
    'ReduceSum',
  ]);
});

test('weights can be left to a data file, in which each begins with a page', () => {
  const x = input('x', [2, 3]);
  const y = linear(linear(x, parameter('first', [5000, 3])), parameter('second', [4, 5000]));
  const options = { features: PORTABLE, weights: { dataFile: 'weights.data' } };
  const { bytes, external, dataLength } = lowerGraph(graphOf({ y }), options);
  expect(external).toEqual([
    { name: 'first', dtype: 'f32', shape: [5000, 3], offset: 0, byteLength: 60_000 },
    { name: 'second', dtype: 'f32', shape: [4, 5000], offset: 61_440, byteLength: 80_000 },
  ]);
  expect(dataLength).toBe(141_440);
  const { initializer, input: inputs } = fromBinary(ModelProtoSchema, bytes).graph!;
  expect(inputs.map(({ name }) => name)).toEqual(['x']);
  expect(bytes.length).toBeLessThan(1000);
  const places = initializer.map(({ name, externalData }) => [
    name,
    Object.fromEntries(externalData.map(({ key, value }) => [key, value])),
  ]);
  expect(places).toEqual([
    ['first', { location: 'weights.data', offset: '0', length: '60000' }],
    ['second', { location: 'weights.data', offset: '61440', length: '80000' }],
  ]);
});

test('with known weights, branches of convolutions are joined in their layout', () => {
  const weight = (name: string, ...shape: number[]) => parameter(name, shape);
  const x = conv2d(input('x', [1, 8, 8, 16]), weight('stem', 16, 16, 1, 1));
  const branches = [
    relu(conv2d(x, weight('a', 16, 16, 3, 3))),
    maxPool2d(x, { kernel: 3, stride: 1, padding: 1 }),
  ];
  const y = conv2d(concat(branches, 3), weight('b', 16, 32, 1, 1));
  const options = { features: PORTABLE, weights: { dataFile: 'weights.data' } };
  const { node } = fromBinary(ModelProtoSchema, lowerGraph(graphOf({ y }), options).bytes).graph!;
  expect(node.map(({ opType }) => opType)).toEqual([
    ...['Transpose', 'Conv', 'Conv', 'Relu', 'MaxPool', 'Concat', 'Conv', 'Transpose', 'Identity'],
  ]);
});

test('with known weights, what surrounds a convolution stays in its layout', () => {
  const weight = (name: string, ...shape: number[]) => parameter(name, shape);
  const x = input('x', [1, 16, 16, 16]);
  const down = relu(conv2d(x, weight('down', 32, 16, 3, 3), weight('bias', 32), { stride: 2, padding: 1 }));
  const pooled = averagePool2d(maxPool2d(down, { kernel: 3, stride: 1, padding: 1 }), { kernel: 2 });
  const y = conv2d(resizeNearest(pooled, 2), weight('up', 16, 32, 2, 2));
  const options = { features: PORTABLE, weights: { dataFile: 'weights.data' } };
  const { node } = fromBinary(ModelProtoSchema, lowerGraph(graphOf({ y }), options).bytes).graph!;
  expect(node.map(({ opType }) => opType)).toEqual([
    'Transpose',
    'Conv',
    'Relu',
    'MaxPool',
    'AveragePool',
    'Resize',
    'Conv',
    'Transpose',
    'Identity',
  ]);
});
