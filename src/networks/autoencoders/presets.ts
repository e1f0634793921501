/** @file Options of the autoencoders, and their published sizes. */
import * as v from 'valibot';
import { count, imageSize } from '../../core/values.ts';
import type { AutoencoderKLConfig } from './autoencoder-kl.ts';
import type { TaesdConfig } from './taesd.ts';

const COMMON_OPTIONS = { inputSize: imageSize, inChannels: count, latentChannels: count };

export const AUTOENCODER_KL_OPTIONS = {
  ...COMMON_OPTIONS,
  factor: count,
  levelChannels: v.pipe(v.array(count), v.minLength(1)),
  layersPerLevel: count,
  normGroups: count,
  midAttention: v.boolean(),
  quantConv: v.boolean(),
};

export const TAESD_OPTIONS = {
  ...COMMON_OPTIONS,
  factor: v.literal(8),
  width: count,
  middleNorm: v.boolean(),
};

const PICTURES = { inputSize: 256, inChannels: 3, factor: 8 } as const;

export const AUTOENCODER_KL_PRESETS: Readonly<Record<string, AutoencoderKLConfig>> = {
  /** Small enough to be trained on a laptop within an hour: 0.65 million parameters. */
  autoencoder: {
    ...PICTURES,
    inputSize: 128,
    factor: 4,
    latentChannels: 4,
    levelChannels: [16, 32, 64],
    layersPerLevel: 1,
    normGroups: 8,
    midAttention: false,
    quantConv: false,
  },
  /** Stable Diffusion's, which sd-vae-ft-ema and sd-vae-ft-mse are fine-tuned from: 83.7 million parameters. */
  'SD-VAE': {
    ...PICTURES,
    latentChannels: 4,
    levelChannels: [128, 256, 512, 512],
    layersPerLevel: 2,
    normGroups: 32,
    midAttention: true,
    quantConv: true,
  },
};

function taesd(latentChannels: number, middleNorm = false): TaesdConfig {
  return { ...PICTURES, latentChannels, width: 64, middleNorm };
}

/** TAESDXL has the size of TAESD, and TAEF1 that of TAESD3. */
export const TAESD_PRESETS: Readonly<Record<string, TaesdConfig>> = {
  TAESD: taesd(4),
  TAESD3: taesd(16),
  TAEF2: taesd(32, true),
};
