/** @file Named configurations of denoisers. */
import { closest } from 'fastest-levenshtein';
import { ConfigError } from '../core/errors.ts';
import type { DiTConfig } from './denoisers/dit.ts';
import type { UDiTConfig } from './denoisers/udit.ts';
import { DENOISERS, type ModelSpec } from './families.ts';

export const PRESETS: Readonly<Record<string, ModelSpec>> = Object.fromEntries(
  Object.entries(DENOISERS).flatMap(([family, { presets }]) =>
    Object.entries(presets).map(([name, config]) => [name, { family, config } as ModelSpec]),
  ),
);

/** Options of any family; which ones a preset has is checked by {@link presetSpec}. */
export type ConfigOverrides = Partial<UDiTConfig> | Partial<DiTConfig>;

/**
 * A preset, with some of its options replaced.
 *
 * @throws ConfigError for an unknown preset or option, naming the nearest one
 */
export function presetSpec(name: string, overrides: ConfigOverrides = {}): ModelSpec {
  const preset = Object.hasOwn(PRESETS, name) ? PRESETS[name] : undefined;
  if (preset === undefined) {
    throw new ConfigError({
      where: 'preset',
      problem: `there is no preset "${name}"`,
      facts: presetsByFamily(),
      fix: `did you mean ${nearest(name, Object.keys(PRESETS))}?`,
    });
  }
  const options = Object.keys(preset.config);
  for (const option of Object.keys(overrides)) {
    if (options.includes(option)) continue;
    throw new ConfigError({
      where: name,
      problem: `${preset.family} has no option "${option}"`,
      facts: [['options', options.join(' ')]],
      fix: `did you mean ${nearest(option, options)}?`,
    });
  }
  return { family: preset.family, config: { ...preset.config, ...overrides } } as ModelSpec;
}

/** Names of presets, cut at their last hyphen: `SiT` and its sizes. */
function presetsByFamily(): [family: string, sizes: string][] {
  const sizes = new Map<string, string[]>();
  for (const name of Object.keys(PRESETS)) {
    const hyphen = name.lastIndexOf('-');
    const family = name.slice(0, hyphen);
    sizes.set(family, [...(sizes.get(family) ?? []), name.slice(hyphen + 1)]);
  }
  return [...sizes].map(([family, names]) => [family, names.join(' ')]);
}

/** The most similar name, whatever its case. */
function nearest(name: string, names: readonly string[]): string {
  const lowerCase = names.map((candidate) => candidate.toLowerCase());
  return names[lowerCase.indexOf(closest(name.toLowerCase(), lowerCase))]!;
}
