/** @file The model families. A new family is one entry in each of the two tables below. */
import type { Denoiser } from './denoisers/denoiser.ts';
import { DiT, type DiTConfig } from './denoisers/dit.ts';
import { DiTLlama } from './denoisers/dit-llama.ts';
import { UDiT, type UDiTConfig } from './denoisers/udit.ts';

interface FamilyConfigs {
  'U-DiT': UDiTConfig;
  DiT: DiTConfig;
  'DiT-LLaMA': DiTConfig;
}

export type Family = keyof FamilyConfigs;

/** What a checkpoint or a run records to build its model again. */
export type ModelSpec = {
  [F in Family]: { readonly family: F; readonly config: FamilyConfigs[F] };
}[Family];

const BUILDERS: { readonly [F in Family]: (config: FamilyConfigs[F]) => Denoiser } = {
  'U-DiT': (config) => new UDiT(config),
  DiT: (config) => new DiT(config),
  'DiT-LLaMA': (config) => new DiTLlama(config),
};

/**
 * Builds a model; no weights are allocated.
 *
 * @throws ConfigError if the configuration cannot work
 */
export function createModel({ family, config }: ModelSpec): Denoiser {
  return (BUILDERS[family] as (config: ModelSpec['config']) => Denoiser)(config);
}
