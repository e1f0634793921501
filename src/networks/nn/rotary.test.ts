import { expect, test } from 'vitest';
import { hostTensor, tensorOf } from '../../core/host-tensor.ts';
import { squareOf } from '../../core/image-size.ts';
import { normal, randomKey } from '../../core/random.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input, rotary } from '../../engine/graph/operators.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import { rotaryTables } from './rotary.ts';

test('columns alternate between the position along the row and along the column', () => {
  const [side, headDim] = [3, 8];
  const { cos, sin } = rotaryTables(squareOf(side), headDim);
  const values = evaluate(graphOf({ cos, sin }), new Map());
  for (let token = 0; token < side * side; token++) {
    const [x, y] = [token % side, Math.floor(token / side)];
    const angles = [x, y, x / 100, y / 100]; // θ^(−4j / headDim) with θ = 10,000
    angles.forEach((angle, column) => {
      expect(values.get('cos')!.data[token * 4 + column]).toBeCloseTo(Math.cos(angle), 6);
      expect(values.get('sin')!.data[token * 4 + column]).toBeCloseTo(Math.sin(angle), 6);
    });
  }
});

test('scores of rotated queries and keys depend on the distance of their positions only', () => {
  const [side, headDim] = [4, 8];
  const { cos, sin } = rotaryTables(squareOf(side), headDim);
  const [query, key] = [normal(randomKey(1), headDim), normal(randomKey(2), headDim)];
  // The same vector at every position.
  const everywhere = (vector: Float32Array) =>
    tensorOf('f32', [1, side * side, headDim], Array.from({ length: side * side }, () => [...vector]).flat());
  const shape = [1, side * side, headDim];
  const values = evaluate(
    graphOf({ q: rotary(input('q', shape), cos, sin, 1), k: rotary(input('k', shape), cos, sin, 1) }),
    new Map([
      ['q', everywhere(query)],
      ['k', everywhere(key)],
    ]),
  );
  const score = (from: readonly [number, number], to: readonly [number, number]): number => {
    const at = ([row, column]: readonly [number, number]) => (row * side + column) * headDim;
    let sum = 0;
    for (let i = 0; i < headDim; i++) {
      sum += values.get('q')!.data[at(from) + i]! * values.get('k')!.data[at(to) + i]!;
    }
    return sum;
  };
  expect(score([0, 1], [2, 2])).toBeCloseTo(score([1, 2], [3, 3]), 5);
  expect(score([0, 0], [0, 0])).toBeCloseTo(score([3, 1], [3, 1]), 5);
  expect(Math.abs(score([0, 1], [2, 2]) - score([0, 1], [1, 3]))).toBeGreaterThan(1e-3);
});

test('rotation keeps lengths', () => {
  const { cos, sin } = rotaryTables(squareOf(2), 4);
  const x = hostTensor('f32', [1, 4, 8], normal(randomKey(3), 32)); // two heads
  const rotated = evaluate(graphOf({ y: rotary(input('x', [1, 4, 8]), cos, sin, 2) }), new Map([['x', x]]));
  const length = (data: ArrayLike<number>): number => Math.hypot(...Array.from(data));
  expect(length(rotated.get('y')!.data)).toBeCloseTo(length(x.data), 5);
});

test('refuses heads whose pairs do not divide among two axes', () => {
  expect(() => rotaryTables(squareOf(4), 6)).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: rope2d: head width 6 is not a multiple of 4, which two axes of rotated pairs need
      fix: use fewer heads or a width that gives 8 per head]
  `);
});
