/** @file Tensors in host memory: what goes into a session and comes out of it. */
import { allocate, type DType, type TensorData, type TypedArrays } from './dtype.ts';
import { ShapeError } from './errors.ts';
import { formatShape, type Shape, sizeOf } from './shape.ts';

/** Contiguous row-major values. `data` may be a view into a larger buffer; it is never copied implicitly. */
export interface HostTensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: Shape;
  readonly data: TypedArrays[D];
}

/** Named tensors: the parameters of a model, the feeds and fetches of a session, the contents of a checkpoint. */
export type TensorMap = ReadonlyMap<string, HostTensor>;

export function hostTensor<D extends DType>(dtype: D, shape: Shape, data: TypedArrays[D]): HostTensor<D> {
  expectFilled(shape, data.length, 'hostTensor');
  return { dtype, shape, data };
}

function expectFilled(shape: Shape, count: number, where: string): void {
  if (count !== sizeOf(shape)) {
    throw new ShapeError({
      where,
      problem: `${count} values do not fill shape ${formatShape(shape)} of ${sizeOf(shape)} elements`,
    });
  }
}

export function zeros<D extends DType>(dtype: D, shape: Shape): HostTensor<D> {
  return { dtype, shape, data: allocate(dtype, sizeOf(shape)) };
}

/** A tensor of the given values; numbers become bigints where the dtype asks for it. */
export function tensorOf<D extends DType>(dtype: D, shape: Shape, values: Iterable<number>): HostTensor<D> {
  const data: TensorData = allocate(dtype, sizeOf(shape));
  let count = 0;
  if (data instanceof BigInt64Array) for (const value of values) data[count++] = BigInt(value);
  else for (const value of values) data[count++] = value;
  expectFilled(shape, count, 'tensorOf'); // a typed array ignores what is written beyond its end
  return { dtype, shape, data: data as TypedArrays[D] };
}

export function scalar<D extends DType>(dtype: D, value: number): HostTensor<D> {
  return tensorOf(dtype, [], [value]);
}

/** The values as JavaScript numbers (int64 beyond 2^53 loses precision). */
export function toNumbers(tensor: HostTensor): ArrayLike<number> {
  return tensor.data instanceof BigInt64Array ? Array.from(tensor.data, Number) : tensor.data;
}
