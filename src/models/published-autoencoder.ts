/** @file What kind of autoencoder the weights of another program belong to, from the shapes of their tensors. */
import { CheckpointError } from '../core/errors.ts';
import { type LatentSpace, USUAL_LATENTS } from '../core/image-space.ts';
import type { TensorInfo } from '../core/tensor-source.ts';
import type { AutoencoderSpec } from '../networks/families.ts';
import { recogniseAutoencoder } from '../networks/recognise.ts';
import type { AutoencoderCard, SavedNetwork } from './saved-model.ts';

export interface AutoencoderDescription {
  readonly card: AutoencoderCard;
  readonly findings: SavedNetwork['findings'];
  readonly advice: undefined;
}

/** @throws CheckpointError if the shapes are those of no known autoencoder */
export function describePublishedAutoencoder(
  tensors: ReadonlyMap<string, TensorInfo>,
  where: string,
): AutoencoderDescription {
  const recognised = recogniseAutoencoder(tensors);
  if (recognised === undefined) {
    throw new CheckpointError({
      where,
      problem: `its ${tensors.size} tensors fit no known autoencoder`,
      facts: [['tensors', `${[...tensors.keys()].slice(0, 3).join('   ')} …`]],
      fix: 'give a checkpoint of AutoencoderKL or TAESD',
    });
  }
  const { name, spec, assumed } = recognised;
  const space = latentsOf(spec);
  const assumptions = [
    ...Object.entries(assumed).map(([option, value]) => `${option} ${String(value)}`),
    `latents with scale ${String(space.scale)} and shift ${String(space.shift)}`,
  ];
  return {
    card: { role: 'autoencoder', name, spec, space, step: 0, nimg: 0 },
    findings: [
      ['autoencoder', `${name}, recognised by the shapes of its tensors`],
      ['assumed', assumptions.join(', ')],
    ],
    advice: undefined,
  };
}

/**
 * A tiny autoencoder has the latents that diffusion models draw. Those of Stable Diffusion's are scaled; which other
 * network makes latents of its shape, no tensor shows.
 */
function latentsOf({ family, config }: AutoencoderSpec): LatentSpace {
  const { factor, latentChannels } = config;
  const isStableDiffusion =
    family === 'AutoencoderKL' && factor === USUAL_LATENTS.factor && latentChannels === 4;
  return isStableDiffusion ? USUAL_LATENTS : { kind: 'latents', autoencoder: '', factor, scale: 1, shift: 0 };
}
