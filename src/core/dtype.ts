/** @file Element types of tensors and the typed arrays that hold them. */

/** Names follow the printed notation of graphs: `f32[2,384]`. Booleans are stored as bytes 0 and 1. */
export type DType = 'f32' | 'f64' | 'i32' | 'i64' | 'u8' | 'i8' | 'bool';

export interface TypedArrays {
  f32: Float32Array;
  f64: Float64Array;
  i32: Int32Array;
  i64: BigInt64Array;
  u8: Uint8Array;
  i8: Int8Array;
  bool: Uint8Array;
}

export type TensorData = TypedArrays[DType];

const CONSTRUCTORS: { readonly [D in DType]: new (size: number) => TypedArrays[D] } = {
  f32: Float32Array,
  f64: Float64Array,
  i32: Int32Array,
  i64: BigInt64Array,
  u8: Uint8Array,
  i8: Int8Array,
  bool: Uint8Array,
};

export const BYTES_PER_ELEMENT: Readonly<Record<DType, number>> = {
  f32: 4,
  f64: 8,
  i32: 4,
  i64: 8,
  u8: 1,
  i8: 1,
  bool: 1,
};

/** A zero-filled typed array for `size` elements of `dtype`. */
export function allocate<D extends DType>(dtype: D, size: number): TypedArrays[D] {
  return new CONSTRUCTORS[dtype](size);
}

export function isFloat(dtype: DType): dtype is 'f32' | 'f64' {
  return dtype === 'f32' || dtype === 'f64';
}
