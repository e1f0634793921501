/** @file Pictures reduced to 8×8 mean colours: features that cost nothing, for a small-scale stand-in for FID. */
import type { HostTensor } from '../core/host-tensor.ts';
import { type FeatureStatistics, featureStatistics } from './moments.ts';

// N pictures · C H W picture in [−1, 1]

/** Side of the mosaic that a picture is reduced to; it divides the sides of pictures. */
export const MOSAIC = 8;

/** Each picture as the mean colours of 8×8 tiles, [N, C·64]. */
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

/** What the Fréchet distance of two sets of pictures is computed from. */
export function mosaicStatistics(pictures: HostTensor<'f32'>): FeatureStatistics {
  return featureStatistics(mosaics(pictures), pictures.shape[1]! * MOSAIC ** 2);
}
