import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf } from '../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../core/random.ts';
import { sizeOf } from '../../core/shape.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input, relu } from '../../engine/graph/operators.ts';
import type { Tensor } from '../../engine/graph/tensor.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import {
  BatchNorm,
  Conv2d,
  ConvNormRelu,
  DepthwiseConv2d,
  GroupNorm,
  LayerNorm,
  Linear,
  Mlp,
  PointwiseConv2d,
  Sequential,
  SiLU,
} from './layers.ts';
import type { Module } from './module.ts';

function randomWeights(module: Module): Map<string, HostTensor> {
  return new Map(
    [...module.parameters()].map(({ name, shape }) => [
      name,
      hostTensor('f32', shape, normal(fold(randomKey(0), name), sizeOf(shape))),
    ]),
  );
}

function valuesOf(y: Tensor, feeds: TensorMap): Float64Array {
  return evaluate(graphOf({ y }), feeds).get('y')!.data;
}

const image = hostTensor('f32', [2, 3, 3, 4], normal(randomKey(7), 72));

test('Linear is x Wᵀ + b over the last axis', () => {
  const layer = new Linear(2, 3).bind('l');
  const feeds = new Map<string, HostTensor>([
    ['x', tensorOf('f32', [2, 2], [1, 2, 3, 4])],
    ['l.weight', tensorOf('f32', [3, 2], [1, 0, 0, 1, 1, 1])],
    ['l.bias', tensorOf('f32', [3], [0, 10, 100])],
  ]);
  expect(Array.from(valuesOf(layer.apply(input('x', [2, 2])), feeds))).toEqual([1, 12, 103, 3, 14, 107]);
});

test('a scale of the result may be given to Linear, which takes it on', () => {
  const layer = new Linear(2, 2).bind('l');
  const feeds = new Map<string, HostTensor>([
    ['x', tensorOf('f32', [1, 2], [1, 2])],
    ['scale', tensorOf('f32', [2], [10, -1])],
    ['l.weight', tensorOf('f32', [2, 2], [1, 1, 2, 0])],
    ['l.bias', tensorOf('f32', [2], [4, 5])],
  ]);
  const y = layer.apply(input('x', [1, 2]), input('scale', [2]));
  expect(Array.from(valuesOf(y, feeds))).toEqual([70, -7]);
});

test('LayerNorm normalises, scales and shifts each token', () => {
  const layer = new LayerNorm(2, { eps: 0 }).bind('l');
  const feeds = new Map<string, HostTensor>([
    ['x', tensorOf('f32', [2, 2], [1, 3, 8, 4])],
    ['l.weight', tensorOf('f32', [2], [2, 3])],
    ['l.bias', tensorOf('f32', [2], [10, 20])],
  ]);
  expect(Array.from(valuesOf(layer.apply(input('x', [2, 2])), feeds))).toEqual([8, 23, 12, 17]);
});

test('BatchNorm takes its mean and variance from training', () => {
  const layer = new BatchNorm(2, { eps: 1 }).bind('l');
  expect([...layer.parameters()].map(({ name, frozen }) => [name, frozen])).toEqual([
    ...[
      ['l.weight', false],
      ['l.bias', false],
      ['l.running_mean', true],
      ['l.running_var', true],
    ],
  ]);
  const feeds = new Map<string, HostTensor>([
    ['x', tensorOf('f32', [1, 1, 1, 2], [4, 5])],
    ['l.weight', tensorOf('f32', [2], [2, 1])],
    ['l.bias', tensorOf('f32', [2], [10, 20])],
    ['l.running_mean', tensorOf('f32', [2], [1, 2])],
    ['l.running_var', tensorOf('f32', [2], [3, 8])],
  ]);
  expect(Array.from(valuesOf(layer.apply(input('x', [1, 1, 1, 2])), feeds))).toEqual([13, 21]);
});

test('a convolution takes the scale of its batch norm on, and computes the same', () => {
  const layer = new ConvNormRelu(4, 3, [1, 3], { stride: [1, 2] }).bind('l');
  const weights = randomWeights(layer);
  // Variances are not negative.
  weights.set('l.bn.running_var', tensorOf('f32', [3], [0.5, 1, 2]));
  const feeds = new Map<string, HostTensor>([...weights, ['x', image]]);
  const x = input('x', image.shape);
  const apart = relu(layer.bn.apply(layer.conv.apply(x)));
  const together = valuesOf(layer.apply(x), feeds);
  expectClose(together, valuesOf(apart, feeds), { relative: 1e-12 });
  expect(together.some((value) => value === 0)).toBe(true);
});

test('layers may go without bias', () => {
  const names = (module: Module) => [...module.bind('l').parameters()].map(({ name }) => name);
  expect(names(new Linear(2, 3, { bias: false }))).toEqual(['l.weight']);
  expect(names(new Conv2d(2, 3, 3, { bias: false }))).toEqual(['l.weight']);
});

describe('a 1×1 convolution', () => {
  const pointwise = new PointwiseConv2d(4, 5).bind('l');
  const weights = randomWeights(pointwise);
  const feeds = new Map<string, HostTensor>([...weights, ['x', image]]);
  const expected = valuesOf(pointwise.apply(input('x', image.shape)), feeds);

  test('is a dense convolution of kernel 1', () => {
    const conv = new Conv2d(4, 5, 1).bind('l');
    expectClose(valuesOf(conv.apply(input('x', image.shape)), feeds), expected, { relative: 1e-12 });
  });

  test('is a linear layer on the channels', () => {
    const linear = new Linear(4, 5).bind('l');
    const { data } = weights.get('l.weight') as HostTensor<'f32'>;
    const asMatrix = new Map([...feeds, ['l.weight', hostTensor('f32', [5, 4], data)] as const]);
    expectClose(valuesOf(linear.apply(input('x', image.shape)), asMatrix), expected, { relative: 1e-12 });
  });
});

test('a depthwise convolution is a dense one whose kernel is diagonal', () => {
  const depthwise = new DepthwiseConv2d(4, 3).bind('l');
  const weights = randomWeights(depthwise);
  const filters = weights.get('l.weight') as HostTensor<'f32'>;
  const dense = new Float32Array(4 * 4 * 9);
  for (let c = 0; c < 4; c++) dense.set(filters.data.subarray(c * 9, (c + 1) * 9), (c * 4 + c) * 9);
  const feeds = new Map<string, HostTensor>([...weights, ['x', image]]);
  const denseFeeds = new Map([...feeds, ['l.weight', hostTensor('f32', [4, 4, 3, 3], dense)] as const]);
  expectClose(
    valuesOf(depthwise.apply(input('x', image.shape)), feeds),
    valuesOf(new Conv2d(4, 4, 3).bind('l').apply(input('x', image.shape)), denseFeeds),
    { relative: 1e-12 },
  );
});

test('a strided convolution has the pixels of the dense one at its positions', () => {
  const dense = new Conv2d(4, 2, 3).bind('l');
  const strided = new Conv2d(4, 2, 3, { stride: 2, padding: 1 }).bind('l');
  const feeds = new Map<string, HostTensor>([...randomWeights(dense), ['x', image]]);
  const [all, some] = [dense, strided].map((layer) =>
    valuesOf(layer.apply(input('x', image.shape)), feeds),
  ) as [Float64Array, Float64Array];
  const chosen = [0, 1].flatMap((n) =>
    [0, 2].flatMap((row) =>
      [0, 2].flatMap((column) => [0, 1].map((c) => ((n * 3 + row) * 3 + column) * 2 + c)),
    ),
  );
  expectClose(
    some,
    chosen.map((position) => all[position]!),
    { relative: 1e-12 },
  );
});

describe('GroupNorm', () => {
  test.each([1, 2, 4])('normalises %d groups by their own mean and variance', (groups) => {
    const norm = new GroupNorm(groups, 4, { eps: 1e-3 }).bind('l');
    const weights = randomWeights(norm);
    const y = valuesOf(norm.apply(input('x', image.shape)), new Map([...weights, ['x', image]]));
    const [scale, shift] = ['l.weight', 'l.bias'].map((name) => weights.get(name)!.data) as Float32Array[];
    const depth = 4 / groups;
    const expected = Array.from(image.data, (value, position) => {
      const [n, channel] = [Math.floor(position / 36), position % 4];
      const group = Array.from(image.data).filter(
        (_, other) =>
          Math.floor(other / 36) === n && Math.floor((other % 4) / depth) === Math.floor(channel / depth),
      );
      const mean = group.reduce((total, x) => total + x, 0) / group.length;
      const variance = group.reduce((total, x) => total + (x - mean) ** 2, 0) / group.length;
      return ((value - mean) / Math.sqrt(variance + 1e-3)) * scale![channel]! + shift![channel]!;
    });
    expectClose(y, expected, { relative: 1e-12 });
  });

  test('wants whole groups', () => {
    expect(() => new GroupNorm(3, 8)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: GroupNorm: 8 channels do not divide among 3 groups
        fix: use 9 channels]
    `);
  });
});

test('Sequential applies its layers in order and numbers them all', () => {
  const net = new Sequential(new Linear(1, 1), new SiLU(), new Linear(1, 1)).bind('net');
  expect([...net.parameters()].map(({ name }) => name)).toEqual([
    'net.0.weight',
    'net.0.bias',
    'net.2.weight',
    'net.2.bias',
  ]);
  const scalarOf = (value: number, ...shape: number[]) => tensorOf('f32', shape, [value]);
  const feeds = new Map<string, HostTensor>([
    ['x', scalarOf(2, 1, 1)],
    ['net.0.weight', scalarOf(3, 1, 1)],
    ['net.0.bias', scalarOf(-5, 1)],
    ['net.2.weight', scalarOf(10, 1, 1)],
    ['net.2.bias', scalarOf(1, 1)],
  ]);
  const [value] = valuesOf(net.apply(input('x', [1, 1])), feeds);
  expect(value).toBeCloseTo(10 / (1 + Math.exp(-1)) + 1, 10);
});

describe('Mlp', () => {
  test.each([
    ['tokens', Linear, [3, 2]],
    ['images', PointwiseConv2d, [3, 2, 1, 1]],
  ] as const)('on %s has weights of their layer', (_, Layer, shape) => {
    const mlp = new Mlp(Layer, 2, 3, 'none').bind('mlp');
    const [fc1] = mlp.parameters();
    expect([fc1!.name, fc1!.shape]).toEqual(['mlp.fc1.weight', shape]);
  });

  test('uses the GELU it is given', () => {
    const feeds = new Map<string, HostTensor>([
      ['x', tensorOf('f32', [1, 1], [1.5])],
      ['mlp.fc1.weight', tensorOf('f32', [1, 1], [1])],
      ['mlp.fc1.bias', tensorOf('f32', [1], [0])],
      ['mlp.fc2.weight', tensorOf('f32', [1, 1], [1])],
      ['mlp.fc2.bias', tensorOf('f32', [1], [0])],
    ]);
    const [exact, approximate] = (['none', 'tanh'] as const).map(
      (gelu) => valuesOf(new Mlp(Linear, 1, 1, gelu).bind('mlp').apply(input('x', [1, 1])), feeds)[0]!,
    );
    expect(exact).toBeCloseTo(1.5 * 0.9331927987311419, 12); // Φ(1.5)
    const inner = Math.sqrt(2 / Math.PI) * (1.5 + 0.044715 * 1.5 ** 3);
    expect(approximate).toBeCloseTo(0.75 * (1 + Math.tanh(inner)), 12);
  });
});
