/** @file Windows: how a kernel moves over the pixels of an image [N, H, W, C]. */
import { ShapeError } from '../../core/errors.ts';

/** Along height and width. */
export type Pair = readonly [height: number, width: number];

/** Where a kernel is put: every `stride` pixels of an image with `before` and `after` pixels of padding around it. */
export interface Window {
  readonly stride: Pair;
  readonly before: Pair;
  readonly after: Pair;
}

/** The same as users write it. */
export interface WindowOptions {
  /** Pixels from one position of the kernel to the next. */
  readonly stride?: number | Pair;
  /** Pixels added on every side, on both sides of each axis, or before and after each axis. */
  readonly padding?: number | Pair | { readonly before: Pair; readonly after: Pair };
}

export const pairOf = (value: number | Pair): Pair => (typeof value === 'number' ? [value, value] : value);

/** One value per axis. */
export const perAxis = <T>(make: (axis: 0 | 1) => T): readonly [T, T] => [make(0), make(1)];

/** Stride 1, and padding that keeps the size; of an even kernel the odd pixel is added after the image. */
export function sameWindow(kernel: Pair): Window {
  const before = perAxis((axis) => Math.floor((kernel[axis] - 1) / 2));
  return { stride: [1, 1], before, after: perAxis((axis) => kernel[axis] - 1 - before[axis]) };
}

/** Fills in what the options leave out. */
export function windowOf({ stride, padding }: WindowOptions, fallback: Window): Window {
  const { before, after } =
    padding === undefined
      ? fallback
      : typeof padding === 'object' && 'before' in padding
        ? padding
        : { before: pairOf(padding), after: pairOf(padding) };
  return { stride: stride === undefined ? fallback.stride : pairOf(stride), before, after };
}

/** Positions of a kernel along height and width of an image of this size. */
export function positionsOf(size: Pair, kernel: Pair, { stride, before, after }: Window): Pair {
  return perAxis(
    (axis) => Math.floor((size[axis] + before[axis] + after[axis] - kernel[axis]) / stride[axis]) + 1,
  );
}

/**
 * Checks that every position of the kernel meets a pixel of the image.
 *
 * @throws ShapeError naming the axis
 */
export function expectWindow(where: string, size: Pair, kernel: Pair, window: Window): void {
  const positions = positionsOf(size, kernel, window);
  for (const [axis, name] of ['height', 'width'].entries() as Iterable<[0 | 1, string]>) {
    const [k, stride] = [kernel[axis], window.stride[axis]];
    const paddings = [window.before[axis], window.after[axis]];
    const refuse = (problem: string, fix: string): never => {
      throw new ShapeError({ where, problem, fix });
    };
    if (![k, stride].every((count) => Number.isInteger(count) && count >= 1)) {
      refuse(`along the ${name}, the kernel is ${k} and the stride ${stride}`, 'use whole numbers from 1');
    }
    if (!paddings.every((count) => Number.isInteger(count) && count >= 0 && count < k)) {
      refuse(
        `along the ${name}, ${paddings.join(' and ')} pixels of padding do not fit a kernel of ${k}`,
        `use 0 to ${k - 1}; pad() adds any number of zeros to an image`,
      );
    }
    if (positions[axis] < 1) {
      refuse(
        `a kernel of ${k} does not fit the ${name} ${size[axis]} with ${paddings.join(' and ')} pixels of padding`,
        `use a kernel of at most ${size[axis] + paddings[0]! + paddings[1]!}`,
      );
    }
  }
}
