/** @file What the numbers of stored latents tell of them, where their files do not. */
import { sizeOf } from '../../../core/shape.ts';
import { type LatentStore, VALUES_PER_ELEMENT } from './latent-store.ts';

/** Of the latents themselves, or of the means of their distributions. */
export interface LatentStatistics {
  readonly means: readonly number[];
  readonly deviations: readonly number[];
  /** Of all values. */
  readonly deviation: number;
  /** Is any of the second half negative? Deviations never are, logarithms of variances nearly always. */
  readonly hasNegativeSpread: boolean;
  /** Pictures that were looked at. */
  readonly pictures: number;
}

/** Enough to tell conventions apart that differ by several deviations. */
const PICTURES = 64;

/** Looks at pictures evenly spaced over the store. */
export async function latentStatistics(
  store: Pick<LatentStore, 'shape' | 'values' | 'labels' | 'read'>,
  pictures = PICTURES,
): Promise<LatentStatistics> {
  const [channels, height, width] = store.shape;
  const elements = sizeOf(store.shape);
  const area = height * width;
  const count = Math.min(pictures, store.labels.length);
  const stored = new Float32Array(VALUES_PER_ELEMENT[store.values] * elements);
  const sums = new Float64Array(channels);
  const squares = new Float64Array(channels);
  let hasNegativeSpread = false;
  for (let picture = 0; picture < count; picture++) {
    await store.read(Math.floor((picture * store.labels.length) / count), false, stored);
    for (let i = 0; i < elements; i++) {
      const value = stored[i]!;
      const channel = Math.floor(i / area);
      sums[channel]! += value;
      squares[channel]! += value * value;
    }
    hasNegativeSpread ||= stored.subarray(elements).some((spread) => spread < 0);
  }
  const means = Array.from(sums, (sum) => sum / (count * area));
  const meanSquares = Array.from(squares, (sum) => sum / (count * area));
  const mean = means.reduce((a, b) => a + b, 0) / channels;
  const meanSquare = meanSquares.reduce((a, b) => a + b, 0) / channels;
  return {
    means,
    deviations: meanSquares.map((square, channel) => Math.sqrt(Math.max(0, square - means[channel]! ** 2))),
    deviation: Math.sqrt(Math.max(0, meanSquare - mean ** 2)),
    hasNegativeSpread,
    pictures: count,
  };
}
