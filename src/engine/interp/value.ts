/** @file Values of the reference evaluator, and walking over their elements. */
import { type Shape, sizeOf, stridesOf } from '../../core/shape.ts';
import type { OpName, OpParams } from '../graph/tensor.ts';

/** Row-major values as float64, whatever the dtype of the node: integers as they are, booleans as 0 and 1. */
export interface Value {
  readonly shape: Shape;
  readonly data: Float64Array;
}

/** Computes the elements of one node from the values of its inputs; `shape` is the shape of the result. */
export type EvaluateRule<O extends OpName> = (
  shape: Shape,
  params: OpParams[O],
  ...inputs: Value[]
) => Float64Array;

/** An array of the elements of `shape`, each made from its flat position. */
export function fill(shape: Shape, element: (position: number) => number): Float64Array {
  return Float64Array.from({ length: sizeOf(shape) }, (_, position) => element(position));
}

/** The index along each axis of a flat position in `shape`. */
export function indexAt(position: number, shape: Shape): number[] {
  return stridesOf(shape).map((stride, axis) => Math.floor(position / stride) % shape[axis]!);
}

/** The flat position in `shape` of an index along each axis. */
export function positionAt(index: readonly number[], shape: Shape): number {
  return stridesOf(shape).reduce((position, stride, axis) => position + stride * index[axis]!, 0);
}

/** For a flat position in `shape`, the element of `x` that broadcasting puts there. */
export function broadcastElement(x: Value, position: number, shape: Shape): number {
  if (x.data.length === sizeOf(shape)) return x.data[position]!; // nothing is stretched
  const index = indexAt(position, shape).slice(shape.length - x.shape.length);
  const source = index.map((i, axis) => (x.shape[axis] === 1 ? 0 : i));
  return x.data[positionAt(source, x.shape)]!;
}

/** The last axis of `x`, row by row. */
export function rowsOf(x: Value): Float64Array[] {
  const width = x.shape.at(-1)!;
  return Array.from({ length: x.data.length / width }, (_, row) =>
    x.data.subarray(row * width, (row + 1) * width),
  );
}

/** Puts rows of equal length below each other. */
export function joinRows(rows: readonly ArrayLike<number>[]): Float64Array {
  return Float64Array.from(rows.flatMap((row) => Array.from(row)));
}
