/** @file The families of networks. A new one is one entry here; options, files, presets, help and recognition follow from it. */
import { DiT, type DiTConfig, FULL_ATTENTION } from './denoisers/dit.ts';
import { DiTLlama } from './denoisers/dit-llama.ts';
import { UDiT, type UDiTConfig } from './denoisers/udit.ts';
import type { Families } from './family.ts';
import { PATCH_OPTIONS, UDIT_OPTIONS } from './options.ts';
import { DIT_LLAMA_PRESETS, DIT_PRESETS, UDIT_PRESETS } from './published-sizes.ts';
import { recogniseDiT, recogniseDiTLlama, recogniseUDiT } from './recognise-shapes.ts';

const ADDED_TO_PATCHES = { discardSigma: false, ...FULL_ATTENTION };

export const FAMILIES = {
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

export type Family = keyof typeof FAMILIES;

/** What a checkpoint or a run records to build its model again. */
export type ModelSpec = {
  [F in Family]: { readonly family: F; readonly config: Parameters<(typeof FAMILIES)[F]['build']>[0] };
}[Family];
