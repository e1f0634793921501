import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { broadcastShapes, formatShape, normaliseAxis, sameShape, sizeOf, stridesOf } from './shape.ts';

const shapes = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 5 });

/** Two shapes that broadcast: one of the lengths of an axis may be 1, and the second may lack leading axes. */
const broadcastable = fc
  .tuple(
    fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.constantFrom('both', 'first', 'second')), {
      maxLength: 5,
    }),
    fc.nat(5),
  )
  .map(([axes, missing]) => ({
    result: axes.map(([length]) => length),
    a: axes.map(([length, has], i) => (has === 'second' && i >= missing ? 1 : length)),
    b: axes.slice(missing).map(([length, has]) => (has === 'first' ? 1 : length)),
  }));

describe('sizes and strides', () => {
  it('a scalar has one element and no strides', () => {
    expect(sizeOf([])).toBe(1);
    expect(stridesOf([])).toEqual([]);
  });

  it('an axis of length 0 leaves no elements', () => {
    expect(sizeOf([3, 0, 2])).toBe(0);
  });

  it('are those of row-major order', () => {
    expect(sizeOf([2, 3, 4])).toBe(24);
    expect(stridesOf([2, 3, 4])).toEqual([12, 4, 1]);
  });

  it('the last position is the size less one', () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const last = stridesOf(shape).reduce((total, stride, axis) => total + stride * (shape[axis]! - 1), 0);
        expect(last).toBe(sizeOf(shape) - 1);
      }),
    );
  });
});

describe('sameShape', () => {
  it('compares lengths and number of axes', () => {
    expect(sameShape([2, 3], [2, 3])).toBe(true);
    expect(sameShape([2, 3], [3, 2])).toBe(false);
    expect(sameShape([2], [2, 1])).toBe(false);
  });
});

it('formatShape writes shapes as graphs print them', () => {
  expect([formatShape([]), formatShape([2, 384])]).toEqual(['[]', '[2,384]']);
});

describe('normaliseAxis', () => {
  it('counts negative axes from the end', () => {
    expect([0, 2, -1, -3].map((axis) => normaliseAxis(axis, 3, 'sum'))).toEqual([0, 2, 2, 0]);
  });

  it('refuses axes that are not there', () => {
    expect(() => normaliseAxis(3, 3, 'sum')).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ShapeError: sum: axis 3 is outside a tensor of 3 axes]`,
    );
    expect(() => normaliseAxis(-4, 3, 'sum')).toThrow('axis -4');
    expect(() => normaliseAxis(0.5, 3, 'sum')).toThrow('axis 0.5');
  });
});

describe('broadcastShapes', () => {
  it('stretches axes of length 1 and adds leading ones', () => {
    fc.assert(
      fc.property(broadcastable, ({ a, b, result }) => {
        expect(broadcastShapes(a, b, 'add')).toEqual(result);
        expect(broadcastShapes(b, a, 'add')).toEqual(result);
      }),
    );
  });

  it('leaves a shape as it is beside a scalar and beside itself', () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        expect(broadcastShapes(shape, [], 'add')).toEqual(shape);
        expect(broadcastShapes(shape, shape, 'add')).toEqual(shape);
      }),
    );
  });

  it('stretches 1 to 0', () => {
    expect(broadcastShapes([1, 2], [0, 1], 'add')).toEqual([0, 2]);
  });

  it('refuses lengths that differ', () => {
    expect(() => broadcastShapes([2, 3], [4, 1, 3, 3], 'add')).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: add: shapes [2,3] and [4,1,3,3] do not broadcast: axis -2 is 2 and 3
        fix: reshape one of them so that the axes are equal or 1]
    `);
  });
});
