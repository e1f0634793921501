/** @file A variational autoencoder that encodes pictures of 16×16 in a moment: latents of 8×8 with 4 channels. */
import { randomKey } from '../../src/core/random.ts';
import type { SavedNetwork } from '../../src/models/saved-model.ts';
import { AutoencoderKL, type AutoencoderKLConfig } from '../../src/networks/autoencoders/autoencoder-kl.ts';
import { initialise } from '../../src/networks/nn/initialise.ts';

const CONFIG: AutoencoderKLConfig = {
  ...{ inputSize: 16, inChannels: 3, latentChannels: 4, factor: 2 },
  ...{ levelChannels: [8, 16], layersPerLevel: 1, normGroups: 4, midAttention: false, quantConv: true },
};

/** @param seed - of its random weights */
export function tinyAutoencoder(seed = 1): SavedNetwork<'autoencoder'> {
  const network = new AutoencoderKL(CONFIG);
  return {
    network,
    weights: initialise(network, network.initRule, randomKey(seed)),
    card: {
      role: 'autoencoder',
      name: 'tiny-kl',
      spec: { family: 'AutoencoderKL', config: CONFIG },
      space: { kind: 'latents', autoencoder: 'tiny-kl', factor: 2, scale: 3, shift: 0.25 },
      ...{ step: 0, nimg: 0 },
    },
    source: 'unnamed',
    findings: [],
  };
}
