/** @file The noise of samples. Each image has its own, whichever batch it is drawn in and whatever is drawn beside it. */
import { ConfigError } from '../../core/errors.ts';
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import { fold, normal, type RandomKey, randomKey } from '../../core/random.ts';
import { formatShape, type Shape, sameShape, sizeOf } from '../../core/shape.ts';

// N batch

/** All randomness of image number `index` of a seed comes from this key. */
export function imageKey(seed: number, index: number): RandomKey {
  return fold(randomKey(seed), 'image', index);
}

/**
 * @param shape - needed, with the number of images first
 * @param where - what the user calls the noise
 * @throws ConfigError naming both shapes, or a value that is not finite
 */
export function expectNoise(noise: HostTensor<'f32'>, shape: Shape, where: string): void {
  if (!sameShape(noise.shape, shape)) {
    throw new ConfigError({
      where,
      problem: `it has the shape ${formatShape(noise.shape)}, ${formatShape(shape)} is needed`,
      fix: 'give noise for each image, [images, channels, height, width]',
    });
  }
  const unusable = noise.data.find((value) => !Number.isFinite(value));
  if (unusable === undefined) return;
  throw new ConfigError({
    where,
    problem: `it holds ${unusable}`,
    fix: 'give standard normal noise, such as of torch.randn',
  });
}

/** What noise is for: to begin with, or for the step of this number. */
export type NoisePurpose = 'start' | number;

/** Noise on the way from that of one key to that of another. */
export interface KeyBetween {
  readonly from: RandomKey;
  readonly to: RandomKey;
  /** 0 is the noise of `from` to the bit, 1 that of `to`. */
  readonly weight: number;
}

/**
 * Standard normal noise.
 *
 * @param keys - one per image
 * @param imageShape - of one image
 * @returns `f32[N, …imageShape]`
 */
export function imageNoise(
  keys: readonly (RandomKey | KeyBetween)[],
  imageShape: Shape,
  purpose: NoisePurpose,
): HostTensor<'f32'> {
  const size = sizeOf(imageShape);
  const values = new Float32Array(keys.length * size);
  const noiseOf = (key: RandomKey): Float32Array =>
    normal(purpose === 'start' ? fold(key, 'start') : fold(key, 'step', purpose), size);
  keys.forEach((key, n) => {
    const noise = 'weight' in key ? slerp(noiseOf(key.from), noiseOf(key.to), key.weight) : noiseOf(key);
    values.set(noise, n * size);
  });
  return hostTensor('f32', [keys.length, ...imageShape], values);
}

/**
 * Spherical interpolation (Shoemake 1985): on the arc from a to b. Between two independent noises it is standard normal
 * again, since they are nearly orthogonal and of nearly the same length; their straight line leads through noise of less
 * variance, which a model has never seen.
 */
export function slerp(a: Float32Array, b: Float32Array, weight: number): Float32Array {
  if (weight === 0) return a;
  if (weight === 1) return b;
  let [dot, squaresOfA, squaresOfB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    squaresOfA += a[i]! ** 2;
    squaresOfB += b[i]! ** 2;
  }
  const angle = Math.acos(Math.min(1, Math.max(-1, dot / Math.sqrt(squaresOfA * squaresOfB))));
  const sine = Math.sin(angle);
  // Between parallel vectors there is no arc.
  const [ofA, ofB] =
    sine < SMALLEST_SINE
      ? [1 - weight, weight]
      : [Math.sin((1 - weight) * angle) / sine, Math.sin(weight * angle) / sine];
  return a.map((value, i) => ofA * value + ofB * b[i]!);
}

const SMALLEST_SINE = 1e-6;
