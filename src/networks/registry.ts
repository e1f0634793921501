/** @file Builds the networks of the table of families. */
import type { Denoiser } from './denoisers/denoiser.ts';
import { DENOISERS, type ModelSpec } from './families.ts';

export type { Family, ModelSpec } from './families.ts';

/**
 * Builds a model; no weights are allocated.
 *
 * @throws ConfigError if the configuration cannot work
 */
export function createModel({ family, config }: ModelSpec): Denoiser {
  return (DENOISERS[family].build as (config: ModelSpec['config']) => Denoiser)(config);
}
