import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tensorOf } from '../../core/host-tensor.ts';
import { type Shape, sizeOf } from '../../core/shape.ts';
import { evaluate } from '../interp/evaluate.ts';
import { graphOf } from './graph.ts';
import * as ops from './operators.ts';
import type { Tensor } from './tensor.ts';

const counting = (...shape: number[]): Tensor =>
  ops.constantOf(
    shape,
    Array.from({ length: sizeOf(shape) }, (_, i) => i),
  );
const valuesOf = (y: Tensor): number[] => [...evaluate(graphOf({ y }), new Map()).get('y')!.data];

describe('operators that change nothing add no node', () => {
  const x = ops.input('x', [2, 3]);
  it.each(
    Object.entries({
      'reshape to the same shape': ops.reshape(x, [2, 3]),
      'transpose in order': ops.transpose(x, [0, 1]),
      'broadcastTo the same shape': ops.broadcastTo(x, [2, 3]),
      'slice of everything': ops.slice(x, -1, 0, 3),
      'concat of one part': ops.concat([x], 0),
      'pad by nothing': ops.pad(x, [0, 0], [0, 0]),
      'sumTo the same shape': ops.sumTo(x, [2, 3]),
    }),
  )('%s', (_, y) => {
    expect(y).toBe(x);
  });
});

describe('chunk', () => {
  it('cuts an axis into equal parts', () => {
    expect(ops.chunk(counting(2, 4), 2, -1).map(valuesOf)).toEqual([
      [0, 1, 4, 5],
      [2, 3, 6, 7],
    ]);
  });

  it('refuses parts that are not equal', () => {
    expect(() => ops.chunk(counting(2, 4), 3, 1)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ShapeError: chunk: axis 1 of [2,4] is not a multiple of 3]`,
    );
  });
});

describe('heads', () => {
  it('splitHeads puts consecutive features of a token into one head', () => {
    const split = ops.splitHeads(counting(1, 2, 4), 2);
    expect(split.shape).toEqual([1, 2, 2, 2]);
    expect(valuesOf(split)).toEqual([0, 1, 4, 5, 2, 3, 6, 7]);
  });

  it('mergeHeads undoes it', () => {
    const x = counting(2, 3, 8);
    expect(valuesOf(ops.mergeHeads(ops.splitHeads(x, 4)))).toEqual(valuesOf(x));
  });
});

describe('sumTo', () => {
  /** A shape, and one that broadcasts to it: leading axes dropped, some of the others 1. */
  const stretchedShapes = fc
    .array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.boolean()), { maxLength: 4 })
    .chain((axes) => fc.tuple(fc.constant(axes), fc.integer({ min: 0, max: axes.length })))
    .map(([axes, dropped]): readonly [Shape, Shape] => [
      axes.map(([length]) => length),
      axes.slice(dropped).map(([length, stretched]) => (stretched ? 1 : length)),
    ]);

  it('is the transpose of broadcastTo: ⟨sumTo(x), y⟩ = ⟨x, broadcastTo(y)⟩', () => {
    fc.assert(
      fc.property(stretchedShapes, ([large, small]) => {
        const [x, y] = [counting(...large), counting(...small)];
        const summed = ops.sum(ops.mul(ops.sumTo(x, small), y));
        const stretched = ops.sum(ops.mul(x, ops.broadcastTo(y, large)));
        expect(valuesOf(summed)).toEqual(valuesOf(stretched));
      }),
    );
  });
});

describe('compositions', () => {
  it('silu is x · sigmoid(x)', () => {
    expect(valuesOf(ops.silu(ops.constantOf([2], [0, 1])))[1]).toBeCloseTo(1 / (1 + Math.exp(-1)), 12);
  });

  it('zerosLike has the shape and zeros', () => {
    expect(valuesOf(ops.zerosLike(ops.input('x', [2, 2])))).toEqual([0, 0, 0, 0]);
  });
});

describe('isConstant', () => {
  it('looks at every element', () => {
    expect(ops.isConstant(ops.constantOf([2], [1, 1]), 1)).toBe(true);
    expect(ops.isConstant(ops.constantOf([2], [1, 2]), 1)).toBe(false);
    expect(ops.isConstant(ops.constant(tensorOf('i64', [], [1])), 1)).toBe(true);
  });

  it('is false for a value that only a run knows', () => {
    expect(ops.isConstant(ops.input('x', []), 1)).toBe(false);
  });
});
