import { expect, test } from 'vitest';
import { squareOf } from '../../core/image-size.ts';
import { sinCosPositions } from './position.ts';

test('the first half of the channels encodes the column, the second the row, each as [sin | cos]', () => {
  const [side, width] = [3, 8];
  const values = sinCosPositions(squareOf(side), width);
  expect(values.length).toBe(side * side * width);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const at = (row * side + column) * width;
      const encode = (position: number) => [
        Math.sin(position),
        Math.sin(position / 100),
        Math.cos(position),
        Math.cos(position / 100),
      ];
      const expected = Float32Array.from([...encode(column), ...encode(row)]);
      expect(values.subarray(at, at + width)).toEqual(expected);
    }
  }
});

test('the product of two positions depends on their difference only', () => {
  const [side, width] = [5, 16];
  const values = sinCosPositions(squareOf(side), width);
  const product = (a: readonly [number, number], b: readonly [number, number]): number => {
    const [first, second] = [a, b].map(([row, column]) => (row * side + column) * width) as [number, number];
    let sum = 0;
    for (let i = 0; i < width; i++) sum += values[first + i]! * values[second + i]!;
    return sum;
  };
  expect(product([0, 0], [1, 2])).toBeCloseTo(product([3, 2], [4, 4]), 5);
  expect(Math.abs(product([0, 0], [1, 2]) - product([0, 0], [1, 3]))).toBeGreaterThan(0.1);
});

test('refuses widths that do not hold sines and cosines of both axes', () => {
  expect(() => sinCosPositions(squareOf(4), 6)).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: sine-cosine positions: width 6 is not a multiple of 4, which sines and cosines of two axes need
      fix: use width 8]
  `);
});
