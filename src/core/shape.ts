/** @file Shapes: sizes of axes in row-major order. */
import { ShapeError } from './errors.ts';

export type Shape = readonly number[];

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((size, length) => size * length, 1);
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((length, axis) => length === b[axis]);
}

/** `[2,384]`, as graphs are printed. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(',')}]`;
}

/** Maps a possibly negative axis into `0 … rank-1`. */
export function normaliseAxis(axis: number, rank: number, where: string): number {
  const normalised = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || normalised < 0 || normalised >= rank) {
    throw new ShapeError({ where, problem: `axis ${axis} is outside a tensor of ${rank} axes` });
  }
  return normalised;
}

/** The shape to which `a` and `b` broadcast under NumPy's rules. */
export function broadcastShapes(a: Shape, b: Shape, where: string): number[] {
  const rank = Math.max(a.length, b.length);
  const result = new Array<number>(rank);
  for (let i = 1; i <= rank; i++) {
    const lengthA = a[a.length - i] ?? 1;
    const lengthB = b[b.length - i] ?? 1;
    if (lengthA !== lengthB && lengthA !== 1 && lengthB !== 1) {
      throw new ShapeError({
        where,
        problem: `shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast: axis ${-i} is ${lengthA} and ${lengthB}`,
        fix: 'reshape one of them so that the axes are equal or 1',
      });
    }
    result[rank - i] = lengthA === 1 ? lengthB : lengthA;
  }
  return result;
}
