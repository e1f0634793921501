import { afterEach, expect, test, vi } from 'vitest';
import { fold, normal, randomKey } from '../../../core/random.ts';
import { BLOCK_LENGTH, BlockKernel, type KernelDefinition } from './block-kernel.ts';
import { add, div, min, mul, sqrt, sub } from './simd-loop.ts';

const KEY = randomKey(7);
const LENGTHS = [0, 1, 3, 4, 5, BLOCK_LENGTH - 1, BLOCK_LENGTH, BLOCK_LENGTH + 1, 2 * BLOCK_LENGTH + 6];

afterEach(() => vi.restoreAllMocks());

function compile<A extends string, C extends string>(definition: KernelDefinition<A, C>): BlockKernel<A, C> {
  const kernel = BlockKernel.compile(definition);
  if (kernel === null) throw new Error('this system has no WebAssembly SIMD');
  return kernel;
}

/** Every operation once. */
const everything = () =>
  compile({
    arrays: ['x', 'y', 'z'],
    constants: ['half', 'third'],
    formulas: ({ x, y }, { half, third }) => {
      const product = mul(x, third);
      return { y: div(sub(y, product), sqrt(add(mul(product, product), half))), z: min(x, product) };
    },
  });

test.each(LENGTHS)('rounds to float32 after each operation: %i elements', (length) => {
  const x = normal(fold(KEY, 'x'), length);
  const y = normal(fold(KEY, 'y'), length);
  const arrays = { x: x.slice(), y: y.slice(), z: new Float32Array(length) };
  everything().run(arrays, { half: 0.5, third: 1 / 3 });

  const f = Math.fround;
  const product = x.map((value) => f(value * f(1 / 3)));
  expect(arrays.x).toEqual(x);
  expect(arrays.y).toEqual(
    y.map((value, i) => {
      const p = product[i]!;
      return f(f(value - p) / f(Math.sqrt(f(f(p * p) + 0.5))));
    }),
  );
  expect(arrays.z).toEqual(x.map((value, i) => Math.min(value, product[i]!)));
});

test('all results are of the old values', () => {
  const swap = compile({ arrays: ['a', 'b'], constants: [], formulas: ({ a, b }) => ({ a: b, b: a }) });
  const arrays = { a: Float32Array.of(1, 2, 3, 4, 5), b: Float32Array.of(6, 7, 8, 9, 10) };
  swap.run(arrays, {});
  expect([...arrays.a, ...arrays.b]).toEqual([6, 7, 8, 9, 10, 1, 2, 3, 4, 5]);
});

test('what an earlier block left reaches no result, and nothing beside an array is touched', () => {
  const double = compile({
    arrays: ['x'],
    constants: ['two'],
    formulas: ({ x }, c) => ({ x: mul(x, c.two) }),
  });
  double.run({ x: new Float32Array(BLOCK_LENGTH).fill(Number.NaN) }, { two: 2 });
  for (const length of [1, 2, 3, 5, BLOCK_LENGTH + 1]) {
    const memory = new Float32Array(length + 8).fill(1);
    double.run({ x: memory.subarray(4, 4 + length) }, { two: 2 });
    const expected = new Float32Array(length + 8).fill(1).fill(2, 4, 4 + length);
    expect(memory).toEqual(expected);
  }
});

test('the result does not depend on how an array is cut', () => {
  const kernel = everything();
  const length = 2 * BLOCK_LENGTH + 6;
  const arrays = () => ({
    x: normal(fold(KEY, 'x'), length),
    y: normal(fold(KEY, 'y'), length),
    z: new Float32Array(length),
  });
  const [whole, cut] = [arrays(), arrays()];
  kernel.run(whole, { half: 0.5, third: 1 / 3 });
  const bounds = [0, 1, 7, 1000, BLOCK_LENGTH + 13, length];
  for (let i = 1; i < bounds.length; i++) {
    const part = (array: Float32Array) => array.subarray(bounds[i - 1], bounds[i]);
    kernel.run({ x: part(cut.x), y: part(cut.y), z: part(cut.z) }, { half: 0.5, third: 1 / 3 });
  }
  expect(cut).toEqual(whole);
});

test('there is none without SIMD', () => {
  vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
  expect(BlockKernel.compile({ arrays: ['x'], constants: [], formulas: ({ x }) => ({ x }) })).toBeNull();
});
