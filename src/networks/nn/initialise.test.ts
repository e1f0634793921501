import { describe, expect, test } from 'vitest';
import { fold, type RandomKey, randomKey } from '../../core/random.ts';
import type { Shape } from '../../core/shape.ts';
import {
  filledWith,
  type Initialiser,
  initialise,
  normalWith,
  xavierUniform,
  xavierUniformAsMatrix,
  zeros,
} from './initialise.ts';
import { Linear } from './layers.ts';
import { Module } from './module.ts';

const key = randomKey(0);

function deviationOf(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}

test('constant initialisers', () => {
  expect(zeros([2, 2], key)).toEqual(new Float32Array(4));
  expect(filledWith(Math.log(10))([2, 1, 1], key)).toEqual(Float32Array.of(Math.log(10), Math.log(10)));
});

test('normalWith draws around 0 with the given deviation', () => {
  const values = normalWith(0.02)([100, 100], key);
  expect(Math.abs(values.reduce((sum, value) => sum + value, 0) / values.length)).toBeLessThan(6 * 0.0002);
  expect(Math.abs(deviationOf(values) / 0.02 - 1)).toBeLessThan(6 / Math.sqrt(2e4));
});

describe('Xavier initialisers fill ±√(6 / (fanIn + fanOut))', () => {
  // Fans from PyTorch's rules, worked out by hand.
  const cases: [string, Initialiser, Shape, number, number][] = [
    ['a matrix', xavierUniform, [60, 100], 100, 60],
    ['a convolution', xavierUniform, [40, 20, 3, 3], 20 * 9, 40 * 9],
    ['a depthwise convolution', xavierUniform, [64, 1, 5, 5], 25, 64 * 25],
    ['a convolution as a matrix', xavierUniformAsMatrix, [40, 20, 3, 3], 20 * 9, 40],
  ];
  test.each(cases)('%s', (_, initialiser, shape, fanIn, fanOut) => {
    const bound = Math.sqrt(6 / (fanIn + fanOut));
    const values = initialiser(shape, key);
    const largest = Math.max(...values.map(Math.abs));
    expect(largest).toBeLessThanOrEqual(Math.fround(bound));
    expect(largest).toBeGreaterThan(0.99 * bound);
    expect(Math.abs(deviationOf(values) / (bound / Math.sqrt(3)) - 1)).toBeLessThan(0.06);
  });
});

describe('initialise', () => {
  class Pair extends Module {
    readonly first = new Linear(3, 4);
    readonly second: Linear | undefined;
    constructor(hasSecond: boolean) {
      super();
      this.second = hasSecond ? new Linear(4, 5) : undefined;
      this.bind();
    }
    forward(): void {}
  }
  const draw = (hasSecond: boolean, from: RandomKey) =>
    initialise(new Pair(hasSecond), (name) => (name.endsWith('bias') ? zeros : xavierUniform), from);

  test('gives every parameter a value by the rule for its name', () => {
    const values = draw(true, key);
    expect([...values].map(([name, { shape }]) => [name, shape])).toEqual([
      ['first.weight', [4, 3]],
      ['first.bias', [4]],
      ['second.weight', [5, 4]],
      ['second.bias', [5]],
    ]);
    expect(values.get('first.bias')!.data).toEqual(new Float32Array(4));
    expect(deviationOf(values.get('second.weight')!.data as Float32Array)).toBeGreaterThan(0);
  });

  test('draws a parameter from the key and its name alone, so others do not change it', () => {
    expect(draw(false, key).get('first.weight')).toEqual(draw(true, key).get('first.weight'));
    expect(draw(false, fold(key, 1)).get('first.weight')).not.toEqual(draw(false, key).get('first.weight'));
  });
});
