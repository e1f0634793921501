/** @file Named axes: what a function expects of a tensor, checked at trace time. */
import { ShapeError } from '../../core/errors.ts';
import { formatType } from './print.ts';
import type { Tensor } from './tensor.ts';

/**
 * Checks the number of axes and the sizes of those named in `sizes`.
 *
 * @throws ShapeError naming the axis, with both sizes
 */
export function expectAxes(x: Tensor, axes: string, sizes: Readonly<Record<string, number>> = {}): void {
  const names = axes.split(' ');
  const where = x.scope === '' ? 'expectAxes' : x.scope;
  const named = `${x.dtype}[${x.shape.map((length, i) => `${names[i] ?? '?'}=${length}`).join(', ')}]`;
  if (names.length !== x.shape.length) {
    throw new ShapeError({
      where,
      problem: `${formatType(x)} has ${x.shape.length} axes, expected ${names.length}: ${axes}`,
    });
  }
  names.forEach((name, axis) => {
    const expected = sizes[name];
    if (expected !== undefined && x.shape[axis] !== expected) {
      throw new ShapeError({
        where,
        problem: `axis ${name} differs: the tensor has ${x.shape[axis]}, ${expected} is expected`,
        facts: [['tensor', named]],
      });
    }
  });
}
