/** @file The families of networks. A new one is one entry here; options, files, presets, help and recognition follow from it. */
import { AutoencoderKL, type AutoencoderKLConfig } from './autoencoders/autoencoder-kl.ts';
import {
  AUTOENCODER_KL_OPTIONS,
  AUTOENCODER_KL_PRESETS,
  TAESD_OPTIONS,
  TAESD_PRESETS,
} from './autoencoders/presets.ts';
import { Taesd, type TaesdConfig } from './autoencoders/taesd.ts';
import { DiT, type DiTConfig, FULL_ATTENTION } from './denoisers/dit.ts';
import { DiTLlama } from './denoisers/dit-llama.ts';
import { UDiT, type UDiTConfig } from './denoisers/udit.ts';
import type { Families } from './family.ts';
import { DINOV2_PRESETS, DINOv2, type DINOv2Config } from './features/dinov2.ts';
import { INCEPTION_PRESETS, type InceptionConfig, InceptionV3 } from './features/inception.ts';
import { PATCH_OPTIONS, UDIT_OPTIONS } from './options.ts';
import { DIT_LLAMA_PRESETS, DIT_PRESETS, UDIT_PRESETS } from './published-sizes.ts';
import {
  checkpointKeyOfKL,
  checkpointKeyOfTaesd,
  recogniseAutoencoderKL,
  recogniseTaesd,
} from './recognise-autoencoders.ts';
import {
  DINOV2_OPTIONS,
  INCEPTION_OPTIONS,
  recogniseDINOv2,
  recogniseInception,
} from './recognise-features.ts';
import { recogniseDiT, recogniseDiTLlama, recogniseUDiT } from './recognise-shapes.ts';

const ADDED_TO_PATCHES = { discardSigma: false, ...FULL_ATTENTION };

export const DENOISERS = {
  'U-DiT': {
    role: 'denoiser',
    options: UDIT_OPTIONS,
    added: { tokens: 'qkv' } as const,
    build: (config: UDiTConfig) => new UDiT(config),
    presets: UDIT_PRESETS,
    recognise: recogniseUDiT,
  },
  DiT: {
    role: 'denoiser',
    options: PATCH_OPTIONS,
    added: ADDED_TO_PATCHES,
    build: (config: DiTConfig) => new DiT(config),
    presets: DIT_PRESETS,
    recognise: recogniseDiT,
  },
  'DiT-LLaMA': {
    role: 'denoiser',
    options: PATCH_OPTIONS,
    added: ADDED_TO_PATCHES,
    build: (config: DiTConfig) => new DiTLlama(config),
    presets: DIT_LLAMA_PRESETS,
    recognise: recogniseDiTLlama,
  },
} as const satisfies Families;

export const AUTOENCODERS = {
  AutoencoderKL: {
    role: 'autoencoder',
    options: AUTOENCODER_KL_OPTIONS,
    build: (config: AutoencoderKLConfig) => new AutoencoderKL(config),
    presets: AUTOENCODER_KL_PRESETS,
    recognise: recogniseAutoencoderKL,
    checkpointKey: checkpointKeyOfKL,
  },
  TAESD: {
    role: 'autoencoder',
    options: TAESD_OPTIONS,
    build: (config: TaesdConfig) => new Taesd(config),
    presets: TAESD_PRESETS,
    recognise: recogniseTaesd,
    checkpointKey: checkpointKeyOfTaesd,
  },
} as const satisfies Families;

export const FEATURE_NETWORKS = {
  'Inception-v3': {
    role: 'features',
    options: INCEPTION_OPTIONS,
    build: (config: InceptionConfig) => new InceptionV3(config),
    presets: INCEPTION_PRESETS,
    recognise: recogniseInception,
  },
  DINOv2: {
    role: 'features',
    options: DINOV2_OPTIONS,
    build: (config: DINOv2Config) => new DINOv2(config),
    presets: DINOV2_PRESETS,
    recognise: recogniseDINOv2,
  },
} as const satisfies Families;

export const FAMILIES = { ...DENOISERS, ...AUTOENCODERS, ...FEATURE_NETWORKS } as const;

/** Of denoisers. */
export type Family = keyof typeof DENOISERS;

type SpecOf<F extends Families> = {
  [Name in keyof F]: { readonly family: Name; readonly config: Parameters<F[Name]['build']>[0] };
}[keyof F];

/** What a checkpoint or a run records to build its model again. */
export type ModelSpec = SpecOf<typeof DENOISERS>;
export type AutoencoderSpec = SpecOf<typeof AUTOENCODERS>;
export type FeatureSpec = SpecOf<typeof FEATURE_NETWORKS>;
