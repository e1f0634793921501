/** @file Float64 rules of what moves a kernel over an image, written as their definitions. */
import { type Shape, sizeOf } from '../../core/shape.ts';
import { type Pair, pairOf, sameWindow, type Window } from '../graph/window.ts';
import { type EvaluateRule, fill, indexAt, positionAt, type Value } from './value.ts';

// N batch · H W image · I input channels · O output channels

/** A tap of a kernel: the output pixel it contributes to and the input pixel it reads. */
interface Tap {
  readonly outputPixel: number;
  readonly inputPixel: number;
  readonly kernelPosition: number;
}

/** All taps of a kernel at all its positions, row by row; taps on the padding are left out. */
function* taps(x: Shape, y: Shape, kernel: Pair, { stride, before }: Window): Generator<Tap> {
  const [images, height, width] = x as [number, number, number];
  const [, rows, columns] = y as [number, number, number];
  for (let outputPixel = 0; outputPixel < images * rows * columns; outputPixel++) {
    const [image, row, column] = indexAt(outputPixel, [images, rows, columns]) as [number, number, number];
    for (let kernelPosition = 0; kernelPosition < kernel[0] * kernel[1]; kernelPosition++) {
      const [down, right] = indexAt(kernelPosition, kernel) as [number, number];
      const inputRow = row * stride[0] + down - before[0];
      const inputColumn = column * stride[1] + right - before[1];
      if (inputRow < 0 || inputRow >= height || inputColumn < 0 || inputColumn >= width) continue;
      const inputPixel = positionAt([image, inputRow, inputColumn], [images, height, width]);
      yield { outputPixel, inputPixel, kernelPosition };
    }
  }
}

function accumulate(data: Float64Array, position: number, amount: number): void {
  data[position] = data[position]! + amount;
}

/** Every pixel starts with the bias. */
function biasImage(size: number, channels: number, bias: Value | undefined): Float64Array {
  return Float64Array.from({ length: size }, (_, position) => bias?.data[position % channels] ?? 0);
}

/** Calls `visit` with the positions that a dense kernel [O, I, kh, kw] joins: in x, in the kernel, in y. */
function visitDense(
  [x, filter, y]: readonly [Shape, Shape, Shape],
  window: Window | undefined,
  visit: (inX: number, inFilter: number, inY: number) => void,
): void {
  const [outputs, inputs, ...kernel] = filter as [number, number, number, number];
  for (const tap of taps(x, y, kernel, window ?? sameWindow(kernel))) {
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        const inFilter = (o * inputs + i) * kernel[0] * kernel[1] + tap.kernelPosition;
        visit(tap.inputPixel * inputs + i, inFilter, tap.outputPixel * outputs + o);
      }
    }
  }
}

export const conv2d: EvaluateRule<'conv2d'> = (shape, { window }, x, weight, bias) => {
  const y = biasImage(sizeOf(shape), shape[3]!, bias);
  visitDense([x!.shape, weight!.shape, shape], window, (inX, inFilter, inY) => {
    accumulate(y, inY, x!.data[inX]! * weight!.data[inFilter]!);
  });
  return y;
};

export const conv2dWeightGradient: EvaluateRule<'conv2dWeightGradient'> = (shape, { window }, x, dy) => {
  const gradient = new Float64Array(sizeOf(shape));
  visitDense([x!.shape, shape, dy!.shape], window, (inX, inFilter, inY) => {
    accumulate(gradient, inFilter, x!.data[inX]! * dy!.data[inY]!);
  });
  return gradient;
};

/** The same of one filter per channel, [C, 1, k, k]. */
function visitDepthwise(
  image: Shape,
  kernel: number,
  visit: (inImage: number, inFilter: number, inY: number) => void,
): void {
  const channels = image[3]!;
  for (const tap of taps(image, image, pairOf(kernel), sameWindow(pairOf(kernel)))) {
    for (let c = 0; c < channels; c++) {
      const inFilter = c * kernel * kernel + tap.kernelPosition;
      visit(tap.inputPixel * channels + c, inFilter, tap.outputPixel * channels + c);
    }
  }
}

export const depthwiseConv2d: EvaluateRule<'depthwiseConv2d'> = (shape, _, x, weight, bias) => {
  const y = biasImage(sizeOf(shape), shape[3]!, bias);
  visitDepthwise(shape, weight!.shape[2]!, (inX, inFilter, inY) => {
    accumulate(y, inY, x!.data[inX]! * weight!.data[inFilter]!);
  });
  return y;
};

export const depthwiseConv2dWeightGradient: EvaluateRule<'depthwiseConv2dWeightGradient'> = (
  shape,
  { kernel },
  x,
  dy,
) => {
  const gradient = new Float64Array(sizeOf(shape));
  visitDepthwise(x!.shape, kernel, (inX, inFilter, inY) => {
    accumulate(gradient, inFilter, x!.data[inX]! * dy!.data[inY]!);
  });
  return gradient;
};

export const maxPool2d: EvaluateRule<'maxPool2d'> = (shape, { kernel, ...window }, x) => {
  const channels = shape[3]!;
  const y = new Float64Array(sizeOf(shape)).fill(Number.NEGATIVE_INFINITY);
  for (const { inputPixel, outputPixel } of taps(x!.shape, shape, kernel, window)) {
    for (let c = 0; c < channels; c++) {
      const target = outputPixel * channels + c;
      y[target] = Math.max(y[target]!, x!.data[inputPixel * channels + c]!);
    }
  }
  return y;
};

export const averagePool2d: EvaluateRule<'averagePool2d'> = (
  shape,
  { kernel, countsPadding, ...window },
  x,
) => {
  const channels = shape[3]!;
  const y = new Float64Array(sizeOf(shape));
  const pixels = new Float64Array(y.length / channels);
  for (const { inputPixel, outputPixel } of taps(x!.shape, shape, kernel, window)) {
    accumulate(pixels, outputPixel, 1);
    for (let c = 0; c < channels; c++) {
      accumulate(y, outputPixel * channels + c, x!.data[inputPixel * channels + c]!);
    }
  }
  const all = kernel[0] * kernel[1];
  return y.map((sum, i) => sum / (countsPadding ? all : pixels[Math.floor(i / channels)]!));
};

export const resizeNearest: EvaluateRule<'resizeNearest'> = (shape, { factor }, x) =>
  fill(shape, (position) => {
    const [image, row, column, channel] = indexAt(position, shape) as [number, number, number, number];
    const source = [image, Math.floor(row / factor[0]), Math.floor(column / factor[1]), channel];
    return x!.data[positionAt(source, x!.shape)]!;
  });
