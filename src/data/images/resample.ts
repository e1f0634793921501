/**
 * @file Resizing of 8-bit pictures with Pillow's arithmetic, bit for bit: the preprocessing that published results used.
 * Two passes, rows before columns, each a weighted sum in 22-bit fixed point that is rounded back to a byte; when
 * shrinking, the filter is widened by the scale, which is what prevents aliasing.
 */
import type { PixelImage } from './pixel-image.ts';

export type ResampleFilter = 'box' | 'bicubic';

interface FilterShape {
  /** Half width of the filter in source pixels, at scale 1. */
  readonly support: number;
  weight(distance: number): number;
}

const FILTERS: Readonly<Record<ResampleFilter, FilterShape>> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bicubic: { support: 2, weight: bicubicWeight },
};

/** Keys' cubic convolution with a = -1/2. */
function bicubicWeight(distance: number): number {
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/** Of 32 bits, 8 hold the result and 2 the overshoot of negative lobes. */
const FRACTION_BITS = 22;
const ROUNDING = 2 ** (FRACTION_BITS - 1);

/** Which source pixels make each target pixel of one axis, and with what fixed-point weights. */
interface AxisWeights {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Int32Array;
  /** Distance between the weights of neighbouring target pixels. */
  readonly stride: number;
}

/** Resizes to `width` × `height`. An axis that keeps its length is not filtered, as in Pillow. */
export function resample(
  image: PixelImage,
  width: number,
  height: number,
  filter: ResampleFilter,
): PixelImage {
  const widened =
    width === image.width
      ? image
      : resampleRows(image, width, axisWeights(image.width, width, FILTERS[filter]));
  return height === image.height
    ? widened
    : resampleColumns(widened, height, axisWeights(image.height, height, FILTERS[filter]));
}

function axisWeights(sourceLength: number, targetLength: number, filter: FilterShape): AxisWeights {
  const scale = sourceLength / targetLength;
  const filterScale = Math.max(scale, 1);
  const support = filter.support * filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(targetLength);
  const count = new Int32Array(targetLength);
  const weights = new Int32Array(targetLength * stride);
  for (let target = 0; target < targetLength; target++) {
    const center = (target + 0.5) * scale;
    const start = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), sourceLength);
    const exact: number[] = [];
    let sum = 0;
    for (let source = start; source < end; source++) {
      const weight = filter.weight((source - center + 0.5) * (1 / filterScale));
      exact.push(weight);
      sum += weight;
    }
    first[target] = start;
    count[target] = exact.length;
    exact.forEach((weight, i) => {
      weights[target * stride + i] = toFixedPoint(sum === 0 ? weight : weight / sum);
    });
  }
  return { first, count, weights, stride };
}

function toFixedPoint(weight: number): number {
  return Math.trunc(weight * 2 ** FRACTION_BITS + (weight < 0 ? -0.5 : 0.5));
}

function toByte(fixedPoint: number): number {
  return Math.max(0, Math.min(fixedPoint >> FRACTION_BITS, 255));
}

function resampleRows(image: PixelImage, width: number, axis: AxisWeights): PixelImage {
  const { height, channels } = image;
  const data = new Uint8Array(width * height * channels);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const source = (row * image.width + axis.first[column]!) * channels;
      const target = (row * width + column) * channels;
      sumPixels(image.data, source, channels, axis, column, channels, data, target);
    }
  }
  return { width, height, channels, data };
}

function resampleColumns(image: PixelImage, height: number, axis: AxisWeights): PixelImage {
  const { width, channels } = image;
  const bytesPerRow = width * channels;
  const data = new Uint8Array(height * bytesPerRow);
  for (let row = 0; row < height; row++) {
    const source = axis.first[row]! * bytesPerRow;
    // Along a row every byte has the same weights, so the row is one long pixel.
    sumPixels(image.data, source, bytesPerRow, axis, row, bytesPerRow, data, row * bytesPerRow);
  }
  return { width, height, channels, data };
}

/** Weighted sum of source pixels that lie `step` bytes apart, for `bytes` neighbouring bytes of the target. */
function sumPixels(
  data: Uint8Array,
  source: number,
  step: number,
  axis: AxisWeights,
  target: number,
  bytes: number,
  out: Uint8Array,
  outStart: number,
): void {
  const { weights, stride } = axis;
  const count = axis.count[target]!;
  const firstWeight = target * stride;
  for (let byte = 0; byte < bytes; byte++) {
    let sum = ROUNDING;
    for (let i = 0; i < count; i++) sum += data[source + i * step + byte]! * weights[firstWeight + i]!;
    out[outStart + byte] = toByte(sum);
  }
}
