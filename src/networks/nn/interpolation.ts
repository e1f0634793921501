/**
 * @file Interpolation of images as products with constant matrices, one per axis: rules of several programs in one form,
 * on every device. An output reads its neighbours among the inputs by a kernel of distances.
 */
import { constantOf, linear, transpose } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import type { Pair } from '../../engine/graph/window.ts';

export interface InterpolationRule {
  readonly kernel: 'bilinear' | 'bicubic';
  /** Parameter of the bicubic kernel (Keys 1981): −1/2 in Pillow, −3/4 in PyTorch. */
  readonly sharpness?: number;
  /** Where pixel 0 of the output lies: on pixel 0 of the input (TensorFlow 1), or the corners of both images agree. */
  readonly origin: 'pixel' | 'corner';
  /** Widens the kernel where an image shrinks, and leaves out what lies beyond the border (Pillow). */
  readonly antialias?: boolean;
}

/** Bilinear as TensorFlow 1 has it: output i lies at input i · from / to. */
export const TENSORFLOW_BILINEAR: InterpolationRule = { kernel: 'bilinear', origin: 'pixel' };
/** Bilinear of PyTorch's `interpolate` with `align_corners=False`. */
export const PYTORCH_BILINEAR: InterpolationRule = { kernel: 'bilinear', origin: 'corner' };
/** Bicubic of PyTorch's `interpolate` with `align_corners=False`. */
export const PYTORCH_BICUBIC: InterpolationRule = { kernel: 'bicubic', sharpness: -0.75, origin: 'corner' };
/** Bicubic of Pillow's `resize`, without its rounding to bytes. */
export const PILLOW_BICUBIC: InterpolationRule = {
  ...{ kernel: 'bicubic', sharpness: -0.5, origin: 'corner', antialias: true },
};

/**
 * @param scale - inputs per output; by default `from / to`
 * @returns [to, from] row by row; each row sums to 1
 */
export function interpolationMatrix(
  from: number,
  to: number,
  { kernel, sharpness = -0.5, origin, antialias = false }: InterpolationRule,
  scale = from / to,
): Float64Array {
  const width = antialias ? Math.max(scale, 1) : 1;
  const support = (kernel === 'bilinear' ? 1 : 2) * width;
  const matrix = new Float64Array(to * from);
  for (let output = 0; output < to; output++) {
    const centre = origin === 'pixel' ? output * scale : (output + 0.5) * scale - 0.5;
    const row = matrix.subarray(output * from, (output + 1) * from);
    for (let input = Math.ceil(centre - support); input <= Math.floor(centre + support); input++) {
      if (antialias && (input < 0 || input >= from)) continue;
      const distance = Math.abs(input - centre) / width;
      const weight = kernel === 'bilinear' ? Math.max(0, 1 - distance) : bicubic(distance, sharpness);
      // The border pixel stands for all pixels beyond it.
      row[Math.min(Math.max(input, 0), from - 1)]! += weight;
    }
    const sum = row.reduce((total, weight) => total + weight, 0);
    for (let input = 0; input < from; input++) row[input]! /= sum;
  }
  return matrix;
}

/** Keys' cubic convolution. */
function bicubic(distance: number, a: number): number {
  const x = distance;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/**
 * Images [N, C, H, W] of another size. Nothing happens where the size is that already.
 *
 * @param scales - inputs per output along height and width; by default they follow from the sizes
 */
export function interpolate(
  x: Tensor<'N C H W'>,
  [rows, columns]: Pair,
  rule: InterpolationRule,
  scales?: Pair,
): Unlabelled {
  const [, , height, width] = x.shape as [number, number, number, number];
  const along = (image: Unlabelled, from: number, to: number, scale: number | undefined) =>
    from === to && scale === undefined
      ? image
      : linear(image, constantOf([to, from], interpolationMatrix(from, to, rule, scale)));
  const swapped = (image: Tensor) => transpose(image, [0, 1, 3, 2]);
  const wide = along(x as Unlabelled, width, columns, scales?.[1]);
  return swapped(along(swapped(wide), height, rows, scales?.[0]));
}
