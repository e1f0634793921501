/**
 * @file Token downsampling that a trained model was not trained with (ToDo, Smith et al., arXiv 2402.13573): plain DiT and
 * its kin have no parameters that depend on which tokens attend, so it can be asked for when they draw.
 */
import { ConfigError } from '../core/errors.ts';
import type { DiTConfig } from '../networks/denoisers/dit.ts';
import type { ModelSpec } from '../networks/registry.ts';

export interface SparseAttentionRequest {
  /** See {@link DiTConfig}. Default: as the model says. */
  readonly tokens?: DiTConfig['tokens'] | undefined;
  /** Side factor by which tokens are downsampled. Default: as the model says, which is 2 unless it was told. */
  readonly downFactor?: number | undefined;
}

/** @throws ConfigError for a model whose downsampling is part of what it learned, or a factor without tokens */
export function withSparseAttention(
  spec: ModelSpec,
  { tokens, downFactor }: SparseAttentionRequest,
): ModelSpec {
  if (tokens === undefined && downFactor === undefined) return spec;
  const flag = tokens === undefined ? '--down-factor' : '--tokens';
  if (spec.family === 'U-DiT') {
    throw new ConfigError({
      where: flag,
      problem: `${tokens ?? downFactor} is requested, but U-DiT has learned its own token downsampling (${spec.config.tokens})`,
      fix: `leave ${flag} out; it is for DiT, SiT and their LLaMA variants`,
    });
  }
  const config = { ...spec.config, ...(tokens && { tokens }), ...(downFactor && { downFactor }) };
  if (config.tokens === 'none' && downFactor !== undefined) {
    throw new ConfigError({
      where: '--down-factor',
      problem: `a factor of ${downFactor} is given, but no tokens are downsampled`,
      fix: 'add --tokens kv (ToDo) or --tokens qkv',
    });
  }
  return { ...spec, config };
}

/** For the lines that say what a checkpoint turned out to be. */
export function describeSparseAttention({ family, config }: ModelSpec): readonly [string, string][] {
  if (family === 'U-DiT' || config.tokens === 'none') return [];
  const { tokens, downFactor } = config;
  const seen = tokens === 'kv' ? 'keys and values' : 'queries, keys and values';
  return [['tokens', `${seen} downsampled by ${downFactor} along each side`]];
}
