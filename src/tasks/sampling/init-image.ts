/** @file Drawing from an image: it begins under noise, and a mask keeps a part of it. */
import { ConfigError } from '../../core/errors.ts';
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import { formatShape, type Shape, sameShape } from '../../core/shape.ts';
import type { NoiseLevel } from '../../diffusion/solvers/dpm-solver.ts';

// B batch · C H W image or latent

/** What images begin with. */
export interface InitImage {
  /** `f32[C,H,W]` as the model has its images: pixels in [−1, 1], or latents. The same for all that are drawn. */
  readonly image: HostTensor<'f32'>;
  /** `f32[H,W]`: 1 is drawn anew, 0 is kept. Default: all is drawn anew. */
  readonly mask?: HostTensor<'f32'> | undefined;
}

/** What an image is drawn with. */
export interface InitUse {
  readonly imageShape: Shape;
  readonly strength: number;
  /** Undefined where steps are chosen on the way. */
  readonly stepCount: number | undefined;
}

/** @throws ConfigError if a sampler cannot begin with this, naming both shapes where they differ */
export function expectInit(
  init: InitImage | undefined,
  { imageShape, strength, stepCount }: InitUse,
  where = 'init',
): void {
  if (init === undefined) {
    if (strength === 1) return;
    throw new ConfigError({
      where,
      problem: `drawing begins at strength ${strength}, with an image under noise, and none is given`,
      fix: 'give an image, or leave the strength out',
    });
  }
  const { image, mask } = init;
  const parts = [
    { name: 'image', tensor: image, shape: imageShape },
    ...(mask === undefined ? [] : [{ name: 'mask', tensor: mask, shape: imageShape.slice(1) }]),
  ];
  for (const { name, tensor, shape } of parts) {
    if (!sameShape(tensor.shape, shape)) {
      throw new ConfigError({
        where,
        problem: `the ${name} has the shape ${formatShape(tensor.shape)}, ${formatShape(shape)} is needed`,
        fix: 'give [channels, height, width] of what the model draws; the mask has no channels',
      });
    }
    const unusable = tensor.data.find(
      (value) => !(name === 'mask' ? value === 0 || value === 1 : Number.isFinite(value)),
    );
    if (unusable === undefined) continue;
    throw new ConfigError({
      where,
      problem: `the ${name} holds ${unusable}`,
      fix: 'give a finite image, and a mask of 0 (kept) and 1 (drawn anew)',
    });
  }
  if (mask === undefined || stepCount !== undefined) return;
  throw new ConfigError({
    where,
    problem: 'a mask is kept step by step, but this sampler chooses its steps on the way',
    fix: 'use a sampler of given steps such as heun, or leave the mask out',
  });
}

/** α image + σ noise, for the noise of each image. */
export function noisy(
  image: HostTensor<'f32'>,
  noise: HostTensor<'f32'>,
  { alpha, sigma }: NoiseLevel,
): HostTensor<'f32'> {
  const size = image.data.length;
  return hostTensor(
    'f32',
    noise.shape,
    noise.data.map((value, i) => alpha * image.data[i % size]! + sigma * value),
  );
}

/**
 * Images whose kept part is the known image again, under as much noise as they are. The noise is that with which drawing
 * began, so the known part goes its exact way.
 */
export function keepKnown(
  x: HostTensor<'f32'>,
  { image, mask }: InitImage,
  noise: HostTensor<'f32'>,
  level: NoiseLevel,
): HostTensor<'f32'> {
  if (mask === undefined) return x;
  const known = noisy(image, noise, level);
  const area = mask.data.length;
  return hostTensor(
    'f32',
    x.shape,
    known.data.map((value, i) => (mask.data[i % area] === 1 ? x.data[i]! : value)),
  );
}
