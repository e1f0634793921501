/**
 * @file Downsampled tokens: the ways in which attention sees less than a whole feature map.
 *
 * N batch · H W sides · C channels · G sub-grids = factor² · T tokens of one sub-grid
 */
import type { ImageSize } from '../../core/image-size.ts';
import { reshape, slice, transpose } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';

/** [N, H, W, C] → [N·G, T, C]: pixel (h·f + i, w·f + j) becomes token (h, w) of sub-grid (i, j). */
export function toSubGrids(x: Tensor<'N H W C'>, factor: number): Unlabelled {
  const [n, height, width, channels] = x.shape as [number, number, number, number];
  const [h, w] = [height / factor, width / factor];
  const split = reshape(x, [n, h, factor, w, factor, channels]);
  return reshape(transpose(split, [0, 2, 4, 1, 3, 5]), [n * factor * factor, h * w, channels]);
}

/** The inverse of {@link toSubGrids}, for a map of this size. */
export function fromSubGrids(
  tokens: Tensor<'NG T C'>,
  factor: number,
  { height, width }: ImageSize,
): Unlabelled {
  const channels = tokens.shape[2]!;
  const n = tokens.shape[0]! / (factor * factor);
  const split = reshape(tokens, [n, factor, factor, height / factor, width / factor, channels]);
  return reshape(transpose(split, [0, 3, 1, 4, 2, 5]), [n, height, width, channels]);
}

/** [N, H, W, C] → [N, T, C]: every pixel of rows and columns that are multiples of the factor. */
export function everyNth(x: Tensor<'N H W C'>, factor: number): Unlabelled {
  const [n, height, width, channels] = x.shape as [number, number, number, number];
  const [h, w] = [height / factor, width / factor];
  const rows = slice(reshape(x, [n, h, factor, w, factor * channels]), 2, 0, 1);
  return reshape(slice(rows, 4, 0, channels), [n, h * w, channels]);
}
