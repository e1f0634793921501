/** @file Pictures that an autoencoder has encoded, as they are stored: what a data set of latents is made from. */
import { type LatentSpace, perChannel } from '../../../core/image-space.ts';
import { fold, normal, type RandomKey } from '../../../core/random.ts';
import { sizeOf } from '../../../core/shape.ts';
import { isMirrored } from '../../images/augmentation.ts';
import { checkReadBuffer, type Samples } from '../samples.ts';

// C H W latent

/**
 * What the stored values of a picture are: one latent, or a normal distribution of latents, by the deviations or the
 * logarithms of the variances of its elements.
 */
export type LatentValues = 'samples' | 'mean-std' | 'mean-logvar';

/** How many numbers each kind of values stores for a number of a latent. */
export const VALUES_PER_ELEMENT: Readonly<Record<LatentValues, number>> = {
  samples: 1,
  'mean-std': 2,
  'mean-logvar': 2,
};

/** The same, and how they are read. */
export interface LatentStore {
  /** What users call it. */
  readonly name: string;
  /** Of one latent. */
  readonly shape: readonly [channels: number, height: number, width: number];
  readonly space: LatentSpace;
  readonly values: LatentValues;
  /** Scale and shift of the space have been applied already. */
  readonly isScaled: boolean;
  /** The latents of the mirrored pictures are stored too. A mirrored latent is not the latent of the mirrored picture. */
  readonly hasMirrored: boolean;
  readonly classNames: readonly string[];
  readonly labels: Int32Array;
  readonly sampleNames: readonly string[];
  /**
   * Writes what is stored of a picture: C·H·W samples; or C·H·W means, then as many deviations or logarithms.
   *
   * @param mirrored - of the mirrored picture; only where there are such
   */
  read(index: number, mirrored: boolean, out: Float32Array): Promise<void>;
}

/** Limits of the logarithm of a variance, outside of which autoencoders do not go. */
const LOG_VARIANCES = { min: -30, max: 20 };

/**
 * The latents of a store as a model is trained on them: scaled and shifted. With a key each is drawn from its
 * distribution, and half of them are latents of the mirrored picture; without one it is the mean.
 *
 * @param flip - false takes the picture as it is every time
 */
export function latentSamples(store: LatentStore, { flip }: { readonly flip: boolean }): Samples {
  const { name, shape, space, classNames, labels, sampleNames, values, hasMirrored } = store;
  const elements = sizeOf(shape);
  const normalise = normaliser(store);
  const samples: Samples = {
    ...{ name, classNames, shape, space, labels, sampleNames },
    length: labels.length,
    async read(index, key, out) {
      checkReadBuffer(samples, out);
      const mirrored = hasMirrored && flip && key !== null && isMirrored(key);
      if (values === 'samples') {
        await store.read(index, mirrored, out);
      } else {
        const stored = new Float32Array(2 * elements);
        await store.read(index, mirrored, stored);
        draw(stored, values, key, out);
      }
      normalise(out);
    },
  };
  return samples;
}

/** mean + deviation · noise */
function draw(
  stored: Float32Array,
  values: Exclude<LatentValues, 'samples'>,
  key: RandomKey | null,
  out: Float32Array,
): void {
  out.set(stored.subarray(0, out.length));
  if (key === null) return;
  const noise = normal(fold(key, 'latent'), out.length);
  for (let i = 0; i < out.length; i++) {
    const spread = stored[out.length + i]!;
    out[i]! += noise[i]! * (values === 'mean-std' ? spread : deviationOf(spread));
  }
}

export function deviationOf(logVariance: number): number {
  return Math.exp(0.5 * Math.min(Math.max(logVariance, LOG_VARIANCES.min), LOG_VARIANCES.max));
}

/** (z − shift) · scale, in place. */
function normaliser({ space, shape, isScaled }: LatentStore): (latent: Float32Array) => void {
  if (isScaled) return () => undefined;
  const [channels, height, width] = shape;
  const area = height * width;
  const scales = perChannel(space.scale, channels);
  const shifts = perChannel(space.shift, channels);
  return (latent) => {
    for (let i = 0; i < latent.length; i++) {
      const channel = Math.floor(i / area);
      latent[i] = (latent[i]! - shifts[channel]!) * scales[channel]!;
    }
  };
}
