/** @file Measures of drawn pictures, and which pictures are drawn for them. */
import { type HostTensor, hostTensor } from '../../src/core/host-tensor.ts';

// N pictures · C H W picture in [−1, 1]

/** Which pictures to draw: their classes, and their numbers, which decide their noise. */
export interface Draw {
  readonly labels: readonly number[];
  readonly indices: readonly number[];
}

/** `total` pictures with as large a share of each class as it has among `classCounts` pictures (largest remainders). */
export function drawInProportion(classCounts: readonly number[], total: number): Draw {
  const pictures = classCounts.reduce((sum, count) => sum + count, 0);
  const exact = classCounts.map((count) => (count * total) / pictures);
  const counts = exact.map(Math.floor);
  const byRemainder = [...exact.keys()].sort((a, b) => (exact[b]! % 1) - (exact[a]! % 1));
  const missing = total - counts.reduce((sum, count) => sum + count, 0);
  for (const label of byRemainder.slice(0, missing)) counts[label]!++;
  return drawOf(counts);
}

/** So many of each class. A picture is the same one in every draw that it is in. */
export function drawOf(counts: readonly number[]): Draw {
  const wanted = counts.flatMap((count, label) => Array.from({ length: count }, (_, i) => ({ label, i })));
  return {
    labels: wanted.map(({ label }) => label),
    indices: wanted.map(({ label, i }) => i * counts.length + label),
  };
}

/** As they would be shown: nothing beyond black and white. */
export function shown({ shape, data }: HostTensor<'f32'>): HostTensor<'f32'> {
  return hostTensor(
    'f32',
    shape,
    data.map((value) => Math.max(-1, Math.min(1, value))),
  );
}

export function rmsDistance(a: HostTensor<'f32'>, b: HostTensor<'f32'>): number {
  const squares = a.data.reduce((sum, value, i) => sum + (value - b.data[i]!) ** 2, 0);
  return Math.sqrt(squares / a.data.length);
}

/** Side of the mosaic that a picture is reduced to. */
export const MOSAIC = 8;
export const MOSAIC_FEATURES = 3 * MOSAIC ** 2;

/** Each picture as the mean colours of 8×8 tiles, [N, 192]. */
export function mosaics({ shape, data }: HostTensor<'f32'>): Float64Array {
  const [count, channels, height, width] = shape as [number, number, number, number];
  const [tileHeight, tileWidth] = [height / MOSAIC, width / MOSAIC];
  const features = new Float64Array(count * channels * MOSAIC ** 2);
  data.forEach((value, i) => {
    const [column, row, plane] = [
      i % width,
      Math.floor(i / width) % height,
      Math.floor(i / (width * height)),
    ];
    const tile = Math.floor(row / tileHeight) * MOSAIC + Math.floor(column / tileWidth);
    features[plane * MOSAIC ** 2 + tile]! += value / (tileHeight * tileWidth);
  });
  return features;
}
