/** @file Named configurations of denoisers. */
import { closest } from 'fastest-levenshtein';
import { ConfigError } from '../core/errors.ts';
import type { DiTConfig } from './denoisers/dit.ts';
import type { UDiTConfig } from './denoisers/udit.ts';
import { DENOISERS, type ModelSpec } from './families.ts';
import type { Families } from './family.ts';

export const PRESETS = presetsOf(DENOISERS);

/** Their presets by name. */
function presetsOf(families: Families): Readonly<Record<string, ModelSpec>> {
  return Object.fromEntries(
    Object.entries(families).flatMap(([family, { presets }]) =>
      Object.entries(presets).map(([name, config]) => [name, { family, config } as ModelSpec]),
    ),
  );
}

/** Options of any family; which ones a preset has is checked by {@link presetSpec}. */
export type ConfigOverrides = Partial<UDiTConfig> | Partial<DiTConfig>;

/**
 * A preset, with some of its options replaced.
 *
 * @param families - of one's own, beside those of this project
 * @throws ConfigError for an unknown preset or option, naming the nearest one
 */
export function presetSpec(
  name: string,
  overrides: ConfigOverrides = {},
  families: Families = {},
): ModelSpec {
  const presets = { ...PRESETS, ...presetsOf(families) };
  const preset = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (preset === undefined) {
    throw new ConfigError({
      where: 'preset',
      problem: `there is no preset "${name}"`,
      facts: bySize(Object.keys(presets)),
      fix: `did you mean ${nearest(name, Object.keys(presets))}?`,
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
function bySize(names: readonly string[]): [family: string, sizes: string][] {
  const sizes = new Map<string, string[]>();
  for (const name of names) {
    const hyphen = name.lastIndexOf('-');
    const family = name.slice(0, hyphen);
    sizes.set(family, [...(sizes.get(family) ?? []), name.slice(hyphen + 1)]);
  }
  return [...sizes].map(([family, found]) => [family, found.join(' ')]);
}

/** The most similar name, whatever its case. */
function nearest(name: string, names: readonly string[]): string {
  const lowerCase = names.map((candidate) => candidate.toLowerCase());
  return names[lowerCase.indexOf(closest(name.toLowerCase(), lowerCase))]!;
}
