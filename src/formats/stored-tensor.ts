/** @file Values as checkpoint files store them: element types, and their form in memory. */
import type { DType } from '../core/dtype.ts';
import { CheckpointError } from '../core/errors.ts';
import { type HostTensor, hostTensor } from '../core/host-tensor.ts';
import type { Shape } from '../core/shape.ts';
import { bfloatsToFloats, bytesToFloats, halvesToFloats, type SmallFloat } from './half.ts';
import { viewOf } from './view.ts';

export const STORED_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  I8: 1,
  BOOL: 1,
} as const;

/** As safetensors calls them. */
export type StoredDType = keyof typeof STORED_BYTES;

/** What is not an element type in memory becomes a wider one, which is exact. */
export const READ_AS: Readonly<Record<StoredDType, DType>> = {
  F64: 'f64',
  F32: 'f32',
  F16: 'f32',
  BF16: 'f32',
  F8_E4M3: 'f32',
  F8_E5M2: 'f32',
  F8_E8M0: 'f32',
  I64: 'i64',
  I32: 'i32',
  I16: 'i32',
  U64: 'i64',
  U32: 'i64',
  U16: 'i32',
  U8: 'u8',
  I8: 'i8',
  BOOL: 'bool',
};

/**
 * Row-major values from little-endian bytes: a view where they are aligned and need not be widened.
 *
 * @param where - the file and the tensor, for the error
 * @throws CheckpointError for an integer from 2^63, which no element type in memory holds
 */
export function storedTensor(dtype: StoredDType, shape: Shape, bytes: Uint8Array, where: string): HostTensor {
  switch (dtype) {
    case 'F64':
      return hostTensor('f64', shape, viewOf(Float64Array, bytes));
    case 'F32':
      return hostTensor('f32', shape, viewOf(Float32Array, bytes));
    case 'F16':
      return hostTensor('f32', shape, halvesToFloats(viewOf(Uint16Array, bytes)));
    case 'BF16':
      return hostTensor('f32', shape, bfloatsToFloats(viewOf(Uint16Array, bytes)));
    case 'F8_E4M3':
    case 'F8_E5M2':
    case 'F8_E8M0':
      return hostTensor('f32', shape, bytesToFloats(bytes, SMALL_FLOATS[dtype]));
    case 'I64':
      return hostTensor('i64', shape, viewOf(BigInt64Array, bytes));
    case 'I32':
      return hostTensor('i32', shape, viewOf(Int32Array, bytes));
    case 'I16':
      return hostTensor('i32', shape, Int32Array.from(viewOf(Int16Array, bytes)));
    case 'U64':
      return hostTensor('i64', shape, signed(viewOf(BigInt64Array, bytes), where));
    case 'U32':
      return hostTensor('i64', shape, BigInt64Array.from(viewOf(Uint32Array, bytes), BigInt));
    case 'U16':
      return hostTensor('i32', shape, Int32Array.from(viewOf(Uint16Array, bytes)));
    case 'U8':
      return hostTensor('u8', shape, viewOf(Uint8Array, bytes));
    case 'I8':
      return hostTensor('i8', shape, viewOf(Int8Array, bytes));
    case 'BOOL':
      return hostTensor('bool', shape, viewOf(Uint8Array, bytes));
  }
}

const SMALL_FLOATS = {
  F8_E4M3: 'e4m3fn',
  F8_E5M2: 'e5m2',
  F8_E8M0: 'e8m0fnu',
} as const satisfies Partial<Record<StoredDType, SmallFloat>>;

function signed(values: BigInt64Array<ArrayBuffer>, where: string): BigInt64Array<ArrayBuffer> {
  const beyond = values.findIndex((value) => value < 0n);
  if (beyond < 0) return values;
  throw new CheckpointError({
    where,
    problem: `it holds ${BigInt.asUintN(64, values[beyond]!)} at index ${beyond}, beyond the range of signed 64-bit integers`,
    fix: 'save it as another element type',
  });
}
