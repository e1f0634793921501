/** @file Named configurations of networks. */
import { ConfigError } from '../core/errors.ts';
import { nearest, suggestion } from '../core/nearest.ts';
import type { DiTConfig } from './denoisers/dit.ts';
import type { UDiTConfig } from './denoisers/udit.ts';
import {
  AUTOENCODERS,
  type AutoencoderSpec,
  DENOISERS,
  FEATURE_NETWORKS,
  type FeatureSpec,
  type ModelSpec,
} from './families.ts';
import type { Families, NetworkSpec, Role } from './family.ts';

type Presets<Spec extends NetworkSpec> = Readonly<Record<string, Spec>>;

/** Of denoisers. */
export const PRESETS = presetsIn<ModelSpec>(DENOISERS);
export const AUTOENCODER_PRESETS = presetsIn<AutoencoderSpec>(AUTOENCODERS);
const FEATURE_PRESETS = presetsIn<FeatureSpec>(FEATURE_NETWORKS);

function presetsIn<Spec extends NetworkSpec>(families: Families): Presets<Spec> {
  return Object.fromEntries(
    Object.entries(families).flatMap(([family, { presets }]) =>
      Object.entries(presets).map(([name, config]) => [name, { family, config } as NetworkSpec as Spec]),
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
  return specIn({ ...PRESETS, ...presetsIn<ModelSpec>(families) }, name, overrides);
}

/** The same of an autoencoder. */
export function autoencoderSpec(
  name: string,
  overrides: Partial<AutoencoderSpec['config']> = {},
): AutoencoderSpec {
  return specIn(AUTOENCODER_PRESETS, name, overrides);
}

/** The same of a feature network. */
export function featureSpec(name: string, overrides: Partial<FeatureSpec['config']> = {}): FeatureSpec {
  return specIn(FEATURE_PRESETS, name, overrides);
}

/** The same of a network of any role. */
export function anyPreset(name: string): ModelSpec | AutoencoderSpec | FeatureSpec {
  const presets = { ...PRESETS, ...AUTOENCODER_PRESETS, ...FEATURE_PRESETS };
  return specIn<ModelSpec | AutoencoderSpec | FeatureSpec>(presets, name, {});
}

/** The same of a network of any role that can be trained. */
export function trainedPreset(name: string, families: Families = {}): ModelSpec | AutoencoderSpec {
  const presets = { ...PRESETS, ...AUTOENCODER_PRESETS, ...presetsIn<ModelSpec>(families) };
  return specIn<ModelSpec | AutoencoderSpec>(presets, name, {});
}

export function isAutoencoder(spec: NetworkSpec): spec is AutoencoderSpec {
  return Object.hasOwn(AUTOENCODERS, spec.family);
}

export function isFeatureNetwork(spec: NetworkSpec): spec is FeatureSpec {
  return Object.hasOwn(FEATURE_NETWORKS, spec.family);
}

/** Of a network in the table of families. */
export function roleOfSpec(spec: NetworkSpec): Role {
  if (isAutoencoder(spec)) return 'autoencoder';
  return isFeatureNetwork(spec) ? 'features' : 'denoiser';
}

function specIn<Spec extends NetworkSpec>(presets: Presets<Spec>, name: string, overrides: object): Spec {
  const preset = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (preset === undefined) {
    const near = nearest(name, Object.keys(presets));
    throw new ConfigError({
      where: 'preset',
      problem: `there is no preset "${name}"`,
      facts: presetsByFamily(presets),
      fix: near === undefined ? 'choose one of them' : `did you mean ${near}?`,
    });
  }
  const options = Object.keys(preset.config);
  for (const option of Object.keys(overrides)) {
    if (options.includes(option)) continue;
    throw new ConfigError({
      where: name,
      problem: `${preset.family} has no option "${option}"`,
      facts: [['options', options.join(' ')]],
      fix: suggestion(option, options),
    });
  }
  return { ...preset, config: { ...preset.config, ...overrides } };
}

/** Names of presets; those of denoisers are cut at their last hyphen: `SiT` and its sizes. */
function presetsByFamily(presets: Presets<NetworkSpec>): [family: string, sizes: string][] {
  const sizes = new Map<string, string[]>();
  for (const [name, spec] of Object.entries(presets)) {
    const hyphen = name.lastIndexOf('-');
    const role = roleOfSpec(spec);
    const [group, size] =
      role === 'denoiser'
        ? [name.slice(0, hyphen), name.slice(hyphen + 1)]
        : [role === 'features' ? role : 'autoencoders', name];
    sizes.set(group, [...(sizes.get(group) ?? []), size]);
  }
  return [...sizes].map(([family, found]) => [family, found.join(' ')]);
}
