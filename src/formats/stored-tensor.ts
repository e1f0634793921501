/** @file Values as checkpoint files store them: element types, and their form in memory. */
import type { DType } from '../core/dtype.ts';
import { type HostTensor, hostTensor } from '../core/host-tensor.ts';
import type { Shape } from '../core/shape.ts';
import { bfloatsToFloats, halvesToFloats } from './half.ts';
import { viewOf } from './view.ts';

export const STORED_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  U8: 1,
  I8: 1,
  BOOL: 1,
} as const;

/** As safetensors calls them. */
export type StoredDType = keyof typeof STORED_BYTES;

/** F16 and BF16 are widened, which is exact. */
export const READ_AS: Readonly<Record<StoredDType, DType>> = {
  F64: 'f64',
  F32: 'f32',
  F16: 'f32',
  BF16: 'f32',
  I64: 'i64',
  I32: 'i32',
  U8: 'u8',
  I8: 'i8',
  BOOL: 'bool',
};

/** Row-major values from little-endian bytes: a view where they are aligned and need not be widened. */
export function storedTensor(dtype: StoredDType, shape: Shape, bytes: Uint8Array): HostTensor {
  switch (dtype) {
    case 'F64':
      return hostTensor('f64', shape, viewOf(Float64Array, bytes));
    case 'F32':
      return hostTensor('f32', shape, viewOf(Float32Array, bytes));
    case 'F16':
      return hostTensor('f32', shape, halvesToFloats(viewOf(Uint16Array, bytes)));
    case 'BF16':
      return hostTensor('f32', shape, bfloatsToFloats(viewOf(Uint16Array, bytes)));
    case 'I64':
      return hostTensor('i64', shape, viewOf(BigInt64Array, bytes));
    case 'I32':
      return hostTensor('i32', shape, viewOf(Int32Array, bytes));
    case 'U8':
      return hostTensor('u8', shape, viewOf(Uint8Array, bytes));
    case 'I8':
      return hostTensor('i8', shape, viewOf(Int8Array, bytes));
    case 'BOOL':
      return hostTensor('bool', shape, viewOf(Uint8Array, bytes));
  }
}
