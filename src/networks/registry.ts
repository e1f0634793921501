/** @file Builds the networks of the table of families. */
import type { Denoiser } from './denoisers/denoiser.ts';
import { DENOISERS, type ModelSpec } from './families.ts';
import type { Families } from './family.ts';

export type { Family, ModelSpec } from './families.ts';

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
