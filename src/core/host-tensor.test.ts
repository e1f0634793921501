import { describe, expect, it } from 'vitest';
import { hostTensor, scalar, tensorOf, toNumbers, zeros } from './host-tensor.ts';

describe('host tensors', () => {
  it('hold the given array itself, not a copy', () => {
    const data = Float32Array.of(1, 2);
    expect(hostTensor('f32', [2, 1], data).data).toBe(data);
  });

  it('refuse data that does not fill their shape', () => {
    expect(() => hostTensor('f32', [2, 3], new Float32Array(5))).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ShapeError: hostTensor: 5 values do not fill shape [2,3] of 6 elements]`,
    );
  });

  it('zeros of each dtype', () => {
    expect(zeros('i64', [2]).data).toEqual(BigInt64Array.of(0n, 0n));
    expect(zeros('bool', [2, 0]).data).toEqual(new Uint8Array(0));
  });

  it('scalar has no axes', () => {
    expect(scalar('f64', 0.1)).toEqual({ dtype: 'f64', shape: [], data: Float64Array.of(0.1) });
  });
});

describe('tensorOf', () => {
  it('converts numbers to the dtype', () => {
    expect(tensorOf('i64', [2], [1, -2]).data).toEqual(BigInt64Array.of(1n, -2n));
    expect(tensorOf('f32', [1], [0.1]).data).toEqual(Float32Array.of(0.1));
    expect(tensorOf('u8', [2], new Set([1, 255])).data).toEqual(Uint8Array.of(1, 255));
  });

  it('refuses too many and too few values', () => {
    expect(() => tensorOf('f32', [2], [1, 2, 3])).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ShapeError: tensorOf: 3 values do not fill shape [2] of 2 elements]`,
    );
    expect(() => tensorOf('i64', [2], [1])).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ShapeError: tensorOf: 1 values do not fill shape [2] of 2 elements]`,
    );
  });
});

describe('toNumbers', () => {
  it('reads bigints as numbers and leaves other data as it is', () => {
    expect(toNumbers(tensorOf('i64', [2], [1, -2]))).toEqual([1, -2]);
    const { data, ...rest } = tensorOf('f32', [1], [0.5]);
    expect(toNumbers({ data, ...rest })).toBe(data);
  });
});
