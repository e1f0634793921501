/**
 * @file Gradients of what moves a kernel over an image, as compositions of operators. Along one axis, output i reads input
 * s·i + a − b through tap a, where s is the stride and b the padding before. With a = s·d + p, the input at s·m + p − b
 * meets output m − d: each of the s phases p of the image has a convolution with stride 1 of its own, nothing is multiplied
 * with zeros between pixels, and the phases are woven into one image at the end.
 */
import { hostTensor } from '../../core/host-tensor.ts';
import { sizeOf } from '../../core/shape.ts';
import {
  add,
  averagePool2d,
  concat,
  constant,
  constantOf,
  conv2d,
  div,
  less,
  mul,
  pad,
  reshape,
  resizeNearest,
  reverse,
  slice,
  sum,
  transpose,
  where,
  zerosLike,
} from './operators.ts';
import type { AveragePoolParams, PoolParams, Tensor } from './tensor.ts';
import { type Pair, perAxis, type Window } from './window.ts';

/** Height and width of an image. */
const sizeOfImage = ({ shape }: Tensor): Pair => [shape[1]!, shape[2]!];

export function conv2dInputGradient(
  dy: Tensor,
  x: Tensor,
  weight: Tensor,
  { stride, before }: Window,
): Tensor {
  const [size, positions] = [sizeOfImage(x), sizeOfImage(dy)];
  const [, , ...kernel] = weight.shape as [number, number, number, number];
  const taps = perAxis((axis) => Math.ceil(kernel[axis] / stride[axis]));
  // The first m that any input belongs to, and how many there are until the last.
  const first = perAxis((axis) => Math.floor(before[axis] / stride[axis]));
  const padding = {
    before: perAxis((axis) => taps[axis] - 1 - first[axis]),
    after: perAxis((axis) => {
      const end = Math.ceil((size[axis] + before[axis]) / stride[axis]);
      return Math.min(end - positions[axis], taps[axis] - 1);
    }),
  };
  const phases = conv2d(dy, phasesOfFilters(weight, stride, taps), undefined, { padding });
  const offset = perAxis((axis) => before[axis] - first[axis] * stride[axis]);
  return cut(weave(phases, stride), offset, size);
}

/** Filters [O, I, kh, kw] → [sh·sw·I, O, ⌈kh/sh⌉, ⌈kw/sw⌉]: every s-th tap, the last first. */
function phasesOfFilters(weight: Tensor, stride: Pair, taps: Pair): Tensor {
  const [outputs, inputs, height, width] = weight.shape as [number, number, number, number];
  const [[sh, sw], [th, tw]] = [stride, taps];
  if (sh === 1 && sw === 1) return transpose(reverse(weight, [2, 3]), [1, 0, 2, 3]);
  const whole = pad(weight, [0, 0, 0, 0], [0, 0, th * sh - height, tw * sw - width]);
  const split = reverse(reshape(whole, [outputs, inputs, th, sh, tw, sw]), [2, 4]);
  return reshape(transpose(split, [3, 5, 1, 0, 2, 4]), [sh * sw * inputs, outputs, th, tw]);
}

/** [N, H, W, sh·sw·C] → [N, H·sh, W·sw, C]: channels in s × s groups become blocks of pixels. */
function weave(phases: Tensor, [sh, sw]: Pair): Tensor {
  if (sh === 1 && sw === 1) return phases;
  const [batch, height, width, grouped] = phases.shape as [number, number, number, number];
  const channels = grouped / (sh * sw);
  const blocks = transpose(reshape(phases, [batch, height, width, sh, sw, channels]), [0, 1, 3, 2, 4, 5]);
  return reshape(blocks, [batch, height * sh, width * sw, channels]);
}

/** `size` pixels from `offset`; zeros where the image has ended. */
function cut(image: Tensor, offset: Pair, size: Pair): Tensor {
  return [0, 1].reduce<Tensor>((x, i) => {
    const axis = i + 1;
    const length = x.shape[axis]!;
    const [start, wanted] = [offset[i]!, size[i]!];
    const kept = slice(x, axis, start, Math.min(length, start + wanted));
    const none = kept.shape.map(() => 0);
    return pad(kept, none, none.with(axis, wanted - kept.shape[axis]!));
  }, image);
}

/** The gradient of a window goes to the first of its largest pixels, row by row, as in PyTorch. */
export function maxPool2dGradient(
  dy: Tensor,
  y: Tensor,
  x: Tensor,
  { kernel, stride, before, after }: PoolParams,
): Tensor {
  const positions = sizeOfImage(y);
  const depth = perAxis((axis) => Math.ceil(kernel[axis] / stride[axis]));
  const length = perAxis((axis) => positions[axis] + depth[axis] - 1);
  const [[sh, sw], [mh, mw]] = [stride, length];
  const [batch, , , channels] = x.shape as [number, number, number, number];
  const padded = cut(withLowestAround(x, before, after), [0, 0], [mh * sh, mw * sw]);
  const split = reshape(padded, [batch, mh, sh, mw, sw, channels]);

  const phases = new Map<number, Tensor>();
  const zero = zerosLike(dy);
  let remaining = dy;
  for (let tap = 0; tap < kernel[0] * kernel[1]; tap++) {
    const [row, column] = [Math.floor(tap / kernel[1]), tap % kernel[1]];
    const [p, q, down, right] = [row % sh, column % sw, Math.floor(row / sh), Math.floor(column / sw)];
    const phase = reshape(slice(slice(split, 2, p, p + 1), 4, q, q + 1), [batch, mh, mw, channels]);
    const pixels = cut(phase, [down, right], positions);
    const isLess = less(pixels, y);
    const share = where(isLess, zero, remaining);
    remaining = where(isLess, remaining, zero);
    const placed = pad(
      share,
      [0, down, right, 0],
      [0, mh - positions[0] - down, mw - positions[1] - right, 0],
    );
    const sofar = phases.get(p * sw + q);
    phases.set(p * sw + q, sofar === undefined ? placed : add(sofar, placed));
  }
  const [some] = phases.values();
  const all = Array.from({ length: sh * sw }, (_, phase) => phases.get(phase) ?? zerosLike(some!));
  return cut(weave(concat(all, 3), stride), before, sizeOfImage(x));
}

/** The image with padding that is less than every number. */
function withLowestAround(x: Tensor, before: Pair, after: Pair): Tensor {
  const padded = pad(x, [0, ...before, 0], [0, ...after, 0]);
  if (padded === x) return x;
  const [height, width] = sizeOfImage(padded);
  const shape = [1, height, width, 1];
  const border = Float32Array.from({ length: sizeOf(shape) }, (_, position) => {
    const at = [Math.floor(position / width), position % width] as const;
    const isInside = [0, 1].every((i) => {
      const place = at[i]! - before[i]!;
      return place >= 0 && place < sizeOfImage(x)[i]!;
    });
    return isInside ? 0 : Number.NEGATIVE_INFINITY;
  });
  return add(padded, constant(hostTensor('f32', shape, border)));
}

/** Each pixel gets its part of the mean of every window that it lies in. */
export function averagePool2dGradient(dy: Tensor, x: Tensor, params: AveragePoolParams): Tensor {
  const { kernel, countsPadding } = params;
  if (countsPadding) return sharedMeanGradient(dy, x, params);
  const pixels = pixelsPerWindow(sizeOfImage(x), sizeOfImage(dy), params);
  return sharedMeanGradient(mul(dy, div(kernel[0] * kernel[1], pixels)), x, params);
}

/** How many pixels of the image lie in each window, [1, rows, columns, 1]. */
function pixelsPerWindow(size: Pair, positions: Pair, { kernel, stride, before }: PoolParams): Tensor {
  const along = (axis: 0 | 1) =>
    Array.from({ length: positions[axis] }, (_, position) => {
      const start = position * stride[axis] - before[axis];
      return Math.min(start + kernel[axis], size[axis]) - Math.max(start, 0);
    });
  const columns = along(1);
  const counts = along(0).flatMap((rows) => columns.map((column) => rows * column));
  return constantOf([1, ...positions, 1], counts);
}

/** The gradient of means that are all divided by the size of the kernel. */
function sharedMeanGradient(dy: Tensor, x: Tensor, { kernel, stride, before }: PoolParams): Tensor {
  const size = sizeOfImage(x);
  const liesInOne = [0, 1].every((axis) => kernel[axis] === stride[axis] && before[axis] === 0);
  if (liesInOne) {
    return cut(resizeNearest(mul(dy, 1 / (kernel[0] * kernel[1])), kernel), [0, 0], size);
  }
  // Pixel j lies in the windows whose last pixels are j … j + k − 1 of the padded image: a mean again, seen from the end.
  const [batch, height, width, channels] = dy.shape as [number, number, number, number];
  const [sh, sw] = stride;
  const apart = pad(
    reshape(dy, [batch, height, 1, width, 1, channels]),
    [0, 0, 0, 0, 0, 0],
    [0, 0, sh - 1, 0, sw - 1, 0],
  );
  const starts = reshape(apart, [batch, height * sh, width * sw, channels]);
  const upTo = perAxis((axis) => size[axis] + before[axis]);
  return averagePool2d(cut(starts, [0, 0], upTo), {
    kernel,
    stride: 1,
    padding: { before: perAxis((axis) => kernel[axis] - 1 - before[axis]), after: [0, 0] },
  });
}

/** Sums over the block of each pixel. */
export function resizeNearestGradient(dy: Tensor, x: Tensor, factor: Pair): Tensor {
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  return sum(reshape(dy, [batch, height, factor[0], width, factor[1], channels]), [2, 4]);
}
