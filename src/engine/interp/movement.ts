/** @file Float64 rules of the operations that move elements, and of those that sum over axes. */
import { type Shape, sizeOf } from '../../core/shape.ts';
import { broadcastElement, type EvaluateRule, fill, indexAt, positionAt, type Value } from './value.ts';

/** Makes an element from its index along each axis. */
const byIndex = (shape: Shape, element: (index: number[]) => number): Float64Array =>
  fill(shape, (position) => element(indexAt(position, shape)));

const at = (x: Value, index: readonly number[]): number => x.data[positionAt(index, x.shape)]!;

export const reshape: EvaluateRule<'reshape'> = (_, __, x) => x!.data.slice();

export const transpose: EvaluateRule<'transpose'> = (shape, { order }, x) =>
  byIndex(shape, (index) => {
    const source = new Array<number>(index.length);
    order.forEach((sourceAxis, axis) => {
      source[sourceAxis] = index[axis]!;
    });
    return at(x!, source);
  });

export const broadcastTo: EvaluateRule<'broadcastTo'> = (shape, _, x) =>
  fill(shape, (position) => broadcastElement(x!, position, shape));

export const slice: EvaluateRule<'slice'> = (shape, { axis, start }, x) =>
  byIndex(shape, (index) => at(x!, index.with(axis, index[axis]! + start)));

export const concat: EvaluateRule<'concat'> = (shape, { axis }, ...parts) =>
  byIndex(shape, (index) => {
    let along = index[axis]!;
    const part = parts.find((candidate) => {
      const holds = along < candidate.shape[axis]!;
      if (!holds) along -= candidate.shape[axis]!;
      return holds;
    });
    return at(part!, index.with(axis, along));
  });

export const pad: EvaluateRule<'pad'> = (shape, { before }, x) =>
  byIndex(shape, (index) => {
    const source = index.map((i, axis) => i - before[axis]!);
    const inside = source.every((i, axis) => i >= 0 && i < x!.shape[axis]!);
    return inside ? at(x!, source) : 0;
  });

export const reverse: EvaluateRule<'reverse'> = (shape, { axes }, x) =>
  byIndex(shape, (index) =>
    at(
      x!,
      index.map((i, axis) => (axes.includes(axis) ? shape[axis]! - 1 - i : i)),
    ),
  );

export const takeRows: EvaluateRule<'takeRows'> = (shape, _, table, indices) => {
  const width = sizeOf(table!.shape.slice(1));
  return fill(shape, (position) => {
    const row = indices!.data[Math.floor(position / width)]!;
    return table!.data[row * width + (position % width)]!;
  });
};

export const addRows: EvaluateRule<'addRows'> = (shape, _, values, indices) => {
  const width = sizeOf(shape.slice(1));
  const table = new Float64Array(sizeOf(shape));
  values!.data.forEach((value, position) => {
    const row = indices!.data[Math.floor(position / width)]!;
    const target = row * width + (position % width);
    table[target] = table[target]! + value;
  });
  return table;
};

export const sum: EvaluateRule<'sum'> = (shape, { axes }, x) => {
  const kept = x!.shape.map((length, axis) => (axes.includes(axis) ? 1 : length));
  const totals = new Float64Array(sizeOf(shape));
  x!.data.forEach((element, position) => {
    const index = indexAt(position, x!.shape).map((i, axis) => (axes.includes(axis) ? 0 : i));
    const target = positionAt(index, kept);
    totals[target] = totals[target]! + element;
  });
  return totals;
};

export const mean: EvaluateRule<'mean'> = (shape, params, x) => {
  const count = x!.data.length / sizeOf(shape);
  return sum(shape, params, x!).map((total) => total / count);
};
