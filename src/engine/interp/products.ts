/** @file Float64 rules of matrix products and convolutions, written as their definitions. */
import { sizeOf } from '../../core/shape.ts';
import { type EvaluateRule, joinRows, rowsOf, type Value } from './value.ts';

// N batch · H W image · I input channels · O output channels · k kernel width

export const matmul: EvaluateRule<'matmul'> = (shape, { transposeA, transposeB }, a, b) => {
  const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
  const inner = transposeA ? a!.shape.at(-2)! : a!.shape.at(-1)!;
  const product = new Float64Array(sizeOf(shape));
  for (let batch = 0; batch < sizeOf(shape.slice(0, -2)); batch++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        let total = 0;
        for (let i = 0; i < inner; i++) {
          const inA = transposeA ? i * rows + row : row * inner + i;
          const inB = transposeB ? column * inner + i : i * columns + column;
          total += a!.data[batch * rows * inner + inA]! * b!.data[batch * inner * columns + inB]!;
        }
        product[(batch * rows + row) * columns + column] = total;
      }
    }
  }
  return product;
};

export const linear: EvaluateRule<'linear'> = (_, __, x, weight, bias) =>
  joinRows(
    rowsOf(x!).map((row) =>
      rowsOf(weight!).map((weights, output) =>
        row.reduce((total, element, i) => total + element * weights[i]!, bias?.data[output] ?? 0),
      ),
    ),
  );

/** A tap of a k×k kernel: the output pixel it contributes to and the input pixel it reads. */
interface Tap {
  readonly outputPixel: number;
  readonly inputPixel: number;
  readonly kernelPosition: number;
}

/** All taps of a convolution with stride 1 and zero padding that keeps the size; taps on the padding are left out. */
function* taps(x: Value, kernel: number): Generator<Tap> {
  const [images, height, width] = x.shape as [number, number, number];
  const reach = (kernel - 1) / 2;
  for (let image = 0; image < images; image++) {
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        for (let kernelPosition = 0; kernelPosition < kernel * kernel; kernelPosition++) {
          const inputRow = row + Math.floor(kernelPosition / kernel) - reach;
          const inputColumn = column + (kernelPosition % kernel) - reach;
          if (inputRow < 0 || inputRow >= height || inputColumn < 0 || inputColumn >= width) continue;
          yield {
            outputPixel: (image * height + row) * width + column,
            inputPixel: (image * height + inputRow) * width + inputColumn,
            kernelPosition,
          };
        }
      }
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

export const conv2d: EvaluateRule<'conv2d'> = (shape, _, x, weight, bias) => {
  const [outputs, inputs, kernel] = weight!.shape as [number, number, number];
  const y = biasImage(sizeOf(shape), outputs, bias);
  for (const { outputPixel, inputPixel, kernelPosition } of taps(x!, kernel)) {
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        const w = weight!.data[(o * inputs + i) * kernel * kernel + kernelPosition]!;
        accumulate(y, outputPixel * outputs + o, x!.data[inputPixel * inputs + i]! * w);
      }
    }
  }
  return y;
};

export const conv2dWeightGradient: EvaluateRule<'conv2dWeightGradient'> = (shape, { kernel }, x, dy) => {
  const [outputs, inputs] = shape as [number, number];
  const gradient = new Float64Array(sizeOf(shape));
  for (const { outputPixel, inputPixel, kernelPosition } of taps(x!, kernel)) {
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        const target = (o * inputs + i) * kernel * kernel + kernelPosition;
        accumulate(
          gradient,
          target,
          x!.data[inputPixel * inputs + i]! * dy!.data[outputPixel * outputs + o]!,
        );
      }
    }
  }
  return gradient;
};

export const depthwiseConv2d: EvaluateRule<'depthwiseConv2d'> = (shape, _, x, weight, bias) => {
  const [channels, , kernel] = weight!.shape as [number, number, number];
  const y = biasImage(sizeOf(shape), channels, bias);
  for (const { outputPixel, inputPixel, kernelPosition } of taps(x!, kernel)) {
    for (let c = 0; c < channels; c++) {
      const w = weight!.data[c * kernel * kernel + kernelPosition]!;
      accumulate(y, outputPixel * channels + c, x!.data[inputPixel * channels + c]! * w);
    }
  }
  return y;
};

export const depthwiseConv2dWeightGradient: EvaluateRule<'depthwiseConv2dWeightGradient'> = (
  shape,
  { kernel },
  x,
  dy,
) => {
  const channels = shape[0]!;
  const gradient = new Float64Array(sizeOf(shape));
  for (const { outputPixel, inputPixel, kernelPosition } of taps(x!, kernel)) {
    for (let c = 0; c < channels; c++) {
      const target = c * kernel * kernel + kernelPosition;
      accumulate(
        gradient,
        target,
        x!.data[inputPixel * channels + c]! * dy!.data[outputPixel * channels + c]!,
      );
    }
  }
  return gradient;
};
