/** @file The presets of each family: sizes of the papers, and one that trains on a laptop. */
import type { DenoiserConfig } from './denoisers/denoiser.ts';
import { type DiTConfig, FULL_ATTENTION } from './denoisers/dit.ts';
import type { UDiTConfig } from './denoisers/udit.ts';

/** ImageNet at 256×256 through an autoencoder that divides sides by 8. */
const IMAGENET_LATENTS: DenoiserConfig = {
  inputSize: 32,
  inChannels: 4,
  numClasses: 1000,
  learnSigma: true,
  classDropoutProb: 0.1,
};

function udit(width: number, heads: number, overrides: Partial<UDiTConfig> = {}): UDiTConfig {
  return {
    ...IMAGENET_LATENTS,
    width,
    heads,
    depth: [2, 5, 8, 5, 2],
    mlpRatio: 2,
    tokens: 'qkv',
    downFactor: 2,
    downsampler: 'dwconv5',
    downShortcut: true,
    attention: 'cosine',
    position: 'rope2d',
    ffn: 'rep',
    ...overrides,
  };
}

/**
 * Tables 1, 7 and 9 of the U-DiT paper compare small models whose sizes it does not give. These are ours, found by their
 * cost, which is within 2 % of the paper's at every step (docs/guides/from-dit-to-u-dit.md).
 */
const TOY = {
  depth: [1, 1, 4, 1, 1],
  mlpRatio: 3,
  attention: 'dot',
  position: 'none',
  ffn: 'basic',
} as const;

/** Sizes of the DiT paper, Table 1; SiT and VisionLLaMA have the same. */
const DIT_SIZES = {
  S: { depth: 12, width: 384, heads: 6 },
  B: { depth: 12, width: 768, heads: 12 },
  L: { depth: 24, width: 1024, heads: 16 },
  XL: { depth: 28, width: 1152, heads: 16 },
} as const;

/** SiT learns no variance, though its last layer has channels for one. */
const SIGMA = {
  DiT: { learnSigma: true, discardSigma: false },
  SiT: { learnSigma: false, discardSigma: true },
} as const;

type PatchModel = `${keyof typeof DIT_SIZES}/${DiTConfig['patchSize']}`;

/** Presets such as `SiT-XL/2`. */
function patchPresets(
  name: string,
  sigma: (typeof SIGMA)[keyof typeof SIGMA],
  models: readonly PatchModel[],
): Record<string, DiTConfig> {
  const presets = models.map((model) => {
    const [size, patch] = model.split('/') as [keyof typeof DIT_SIZES, string];
    const patchSize = Number(patch) as DiTConfig['patchSize'];
    const config = {
      ...IMAGENET_LATENTS,
      ...sigma,
      ...FULL_ATTENTION,
      patchSize,
      ...DIT_SIZES[size],
      mlpRatio: 4,
    };
    return [`${name}-${model}`, config] as const;
  });
  return Object.fromEntries(presets);
}

const ALL_PATCH_MODELS = (Object.keys(DIT_SIZES) as (keyof typeof DIT_SIZES)[]).flatMap((size) =>
  ([2, 4, 8] as const).map((patchSize): PatchModel => `${size}/${patchSize}`),
);

export const UDIT_PRESETS: Readonly<Record<string, UDiTConfig>> = {
  // Pixels of 32×32. Full attention at the bottleneck, whose 8×8 tokens are few; a factor of 4 at the outer levels is
  // faster but leaves a texture of 4 pixels in the samples (LOG.md).
  'U-DiT-XS': udit(32, 2, {
    inChannels: 3,
    numClasses: 9,
    learnSigma: false,
    depth: [1, 1, 2, 1, 1],
    downFactor: [2, 2, 1, 2, 2],
  }),
  'DiT-UNet': udit(48, 2, { ...TOY, tokens: 'none' }),
  'DiT-UNet-Slim': udit(36, 2, { ...TOY, tokens: 'none' }),
  'DiT-UNet-KV': udit(48, 2, { ...TOY, tokens: 'kv' }),
  'U-DiT-T': udit(48, 2, TOY),
  // Table 8 of the U-DiT paper.
  'U-DiT-S': udit(96, 4),
  'U-DiT-B': udit(192, 8),
  'U-DiT-L': udit(384, 16),
};

export const DIT_PRESETS: Readonly<Record<string, DiTConfig>> = {
  ...patchPresets('DiT', SIGMA.DiT, ALL_PATCH_MODELS),
  ...patchPresets('SiT', SIGMA.SiT, ALL_PATCH_MODELS),
};

/** Those that the VisionLLaMA paper trains. */
export const DIT_LLAMA_PRESETS: Readonly<Record<string, DiTConfig>> = {
  ...patchPresets('DiT-LLaMA', SIGMA.DiT, ['B/4', 'L/4', 'XL/2', 'XL/4']),
  ...patchPresets('SiT-LLaMA', SIGMA.SiT, ['S/2', 'B/2', 'L/2', 'XL/2']),
};
