/** @file Named configurations: those of the papers, and one that trains on a laptop. */
import { closest } from 'fastest-levenshtein';
import { ConfigError } from '../core/errors.ts';
import type { DenoiserConfig } from './denoiser.ts';
import type { DiTConfig } from './dit.ts';
import type { ModelSpec } from './registry.ts';
import type { UDiTConfig } from './udit.ts';

/** ImageNet at 256×256 through an autoencoder that divides sides by 8. */
const IMAGENET_LATENTS: DenoiserConfig = {
  inputSize: 32,
  inChannels: 4,
  numClasses: 1000,
  learnSigma: true,
  classDropoutProb: 0.1,
};

type SpecOf<F extends ModelSpec['family']> = Extract<ModelSpec, { readonly family: F }>;

function udit(width: number, heads: number, overrides: Partial<UDiTConfig> = {}): SpecOf<'U-DiT'> {
  return {
    family: 'U-DiT',
    config: {
      ...IMAGENET_LATENTS,
      width,
      heads,
      depth: [2, 5, 8, 5, 2],
      mlpRatio: 2,
      downFactor: 2,
      downsampler: 'dwconv5',
      downShortcut: true,
      attention: 'cosine',
      position: 'rope2d',
      ffn: 'rep',
      ...overrides,
    },
  };
}

function dit(size: Pick<DiTConfig, 'depth' | 'width' | 'heads'>, patchSize: 2 | 4 | 8): SpecOf<'DiT'> {
  return { family: 'DiT', config: { ...IMAGENET_LATENTS, patchSize, ...size, mlpRatio: 4 } };
}

/** Sizes of the DiT paper, Table 1. */
const DIT_SIZES = {
  S: { depth: 12, width: 384, heads: 6 },
  B: { depth: 12, width: 768, heads: 12 },
  L: { depth: 24, width: 1024, heads: 16 },
  XL: { depth: 28, width: 1152, heads: 16 },
} as const;

export const PRESETS: Readonly<Record<string, ModelSpec>> = {
  // Pixels of 32×32. Full attention at the bottleneck, whose 8×8 tokens are few; a factor of 4 at the outer levels is
  // faster but leaves a texture of 4 pixels in the samples (LOG.md).
  'U-DiT-XS': udit(32, 2, {
    inChannels: 3,
    numClasses: 9,
    learnSigma: false,
    depth: [1, 1, 2, 1, 1],
    downFactor: [2, 2, 1, 2, 2],
  }),
  // Table 8 of the U-DiT paper.
  'U-DiT-S': udit(96, 4),
  'U-DiT-B': udit(192, 8),
  'U-DiT-L': udit(384, 16),
  'DiT-S/2': dit(DIT_SIZES.S, 2),
  'DiT-S/4': dit(DIT_SIZES.S, 4),
  'DiT-S/8': dit(DIT_SIZES.S, 8),
  'DiT-B/2': dit(DIT_SIZES.B, 2),
  'DiT-B/4': dit(DIT_SIZES.B, 4),
  'DiT-B/8': dit(DIT_SIZES.B, 8),
  'DiT-L/2': dit(DIT_SIZES.L, 2),
  'DiT-L/4': dit(DIT_SIZES.L, 4),
  'DiT-L/8': dit(DIT_SIZES.L, 8),
  'DiT-XL/2': dit(DIT_SIZES.XL, 2),
  'DiT-XL/4': dit(DIT_SIZES.XL, 4),
  'DiT-XL/8': dit(DIT_SIZES.XL, 8),
};

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
      facts: [['presets', Object.keys(PRESETS).join(' ')]],
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

/** The most similar name, whatever its case. */
function nearest(name: string, names: readonly string[]): string {
  const lowerCase = names.map((candidate) => candidate.toLowerCase());
  return names[lowerCase.indexOf(closest(name.toLowerCase(), lowerCase))]!;
}
