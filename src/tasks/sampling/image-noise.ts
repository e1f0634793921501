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

/**
 * Standard normal noise.
 *
 * @param keys - one per image
 * @param imageShape - of one image
 * @returns `f32[N, …imageShape]`
 */
export function imageNoise(
  keys: readonly RandomKey[],
  imageShape: Shape,
  purpose: NoisePurpose,
): HostTensor<'f32'> {
  const size = sizeOf(imageShape);
  const values = new Float32Array(keys.length * size);
  keys.forEach((key, n) => {
    const derived = purpose === 'start' ? fold(key, 'start') : fold(key, 'step', purpose);
    values.set(normal(derived, size), n * size);
  });
  return hostTensor('f32', [keys.length, ...imageShape], values);
}
