/** @file Builds the networks of the table of families. */
import type { Autoencoder } from './autoencoders/autoencoder.ts';
import type { Denoiser } from './denoisers/denoiser.ts';
import {
  AUTOENCODERS,
  type AutoencoderSpec,
  DENOISERS,
  FEATURE_NETWORKS,
  type FeatureSpec,
  type ModelSpec,
} from './families.ts';
import type { Families } from './family.ts';
import type { FeatureNetwork } from './features/feature-network.ts';

export type { AutoencoderSpec, Family, ModelSpec } from './families.ts';

/**
 * Builds a model; no weights are allocated.
 *
 * @param further - families of one's own
 * @throws ConfigError if the configuration cannot work
 */
export function createModel({ family, config }: ModelSpec, further: Families = {}): Denoiser {
  const { build } = { ...DENOISERS, ...further }[family];
  return (build as (config: ModelSpec['config']) => Denoiser)(config);
}

/** The same for an autoencoder. */
export function createAutoencoder({ family, config }: AutoencoderSpec): Autoencoder {
  return (AUTOENCODERS[family].build as (config: AutoencoderSpec['config']) => Autoencoder)(config);
}

/** The same for a feature network. */
export function createFeatureNetwork({ family, config }: FeatureSpec): FeatureNetwork {
  return (FEATURE_NETWORKS[family].build as (config: FeatureSpec['config']) => FeatureNetwork)(config);
}
