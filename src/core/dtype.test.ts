import { expect, it } from 'vitest';
import { allocate, BYTES_PER_ELEMENT, type DType, isFloat } from './dtype.ts';

it.each(Object.entries(BYTES_PER_ELEMENT) as [DType, number][])(
  '%s takes %d bytes an element',
  (dtype, bytes) => {
    const data = allocate(dtype, 3);
    expect(data.byteLength).toBe(3 * bytes);
    expect(Array.from(data as ArrayLike<unknown>, Number)).toEqual([0, 0, 0]);
  },
);

it('isFloat is true of f32 and f64 only', () => {
  expect((Object.keys(BYTES_PER_ELEMENT) as DType[]).filter(isFloat)).toEqual(['f32', 'f64']);
});
