/** @file What a run does where nothing else is said: the paper's settings for the paper's models, others on a laptop. */
import { DATA_KINDS, type DataKind } from '../../../data/datasets/data-config.ts';
import { AUTOENCODER_PRESETS, PRESETS } from '../../../networks/presets.ts';
import { OPTIMIZER_DEFAULTS, type OptimizerKind } from '../optim/optimizers.ts';
import type { ConfigLayer } from './config-layer.ts';

/** Of a configuration that names none. */
export const DEFAULT_PRESET = 'U-DiT-XS';

/** Settings of the paper (section 4.1): AdamW 1e-4 without decay, warm-up or clipping; batch 256; EMA 0.9999. */
const PAPER_RECIPE = {
  data: 'paper',
  objective: { kind: 'gaussian' },
  optimizer: { kind: 'adamw', learningRate: 1e-4, schedule: 'constant', warmupSteps: 0, clipNorm: null },
  averages: [{ name: 'ema', kind: 'exponential', decay: 0.9999, warmup: false }],
  training: { steps: 400_000, batchSize: 256, microBatch: null, recompute: false, initFrom: null, seed: 0 },
  logging: {
    logEvery: 100,
    sampleEvery: 10_000,
    evaluateEvery: 10_000,
    ckptEvery: 50_000,
    keepLast: 2,
    keepEvery: null,
  },
} as const;

/** SiT's settings are the paper's but for the objective: times between 0 and 1 go into the network as they are. */
const SIT_RECIPE = {
  ...PAPER_RECIPE,
  objective: { kind: 'flow', timeDistribution: 'uniform', timeScale: 1 },
} as const;

/**
 * Small images on a CPU: velocity prediction at logit-normal times shows shapes after some hundred steps where noise
 * prediction still shows noise (LOG.md); a high learning rate needs warm-up, clipping and an average that starts fast.
 */
const LAPTOP_RECIPE = {
  data: 'laptop',
  objective: { kind: 'flow', timeDistribution: 'logit-normal', timeScale: 1000 },
  optimizer: { kind: 'adamw', learningRate: 1e-3, schedule: 'cosine', warmupSteps: 100, clipNorm: 1 },
  averages: [{ name: 'ema', kind: 'exponential', decay: 0.9995, warmup: true }],
  training: { steps: 10_000, batchSize: 16, microBatch: null, recompute: false, initFrom: null, seed: 0 },
  logging: {
    logEvery: 10,
    sampleEvery: 250,
    evaluateEvery: 250,
    ckptEvery: 250,
    keepLast: 2,
    keepEvery: null,
  },
} as const;

/** Pictures through latents and back, on a CPU. */
const AUTOENCODER_RECIPE = {
  ...LAPTOP_RECIPE,
  objective: { kind: 'reconstruction', gradientWeight: 1, klWeight: 0.01 },
  averages: [{ name: 'ema', kind: 'exponential', decay: 0.999, warmup: true }],
  training: { ...LAPTOP_RECIPE.training, steps: 2_500, batchSize: 8 },
} as const;

type Recipe = typeof PAPER_RECIPE | typeof SIT_RECIPE | typeof LAPTOP_RECIPE | typeof AUTOENCODER_RECIPE;

/** The defaults of a run of this preset on the data that `given` names. */
export function recipeFor(preset: string, given: ConfigLayer): ConfigLayer {
  return fillRecipe(recipeOf(preset), preset, given);
}

export const RECIPES = ['paper', 'laptop'] as const;

/**
 * A recipe by its name, as a layer below what is given: on any preset, where {@link recipeFor} goes by the preset. The
 * paper's is that of U-DiT (section 4.1), with classes hidden from a tenth of the images.
 */
export function namedRecipe(name: (typeof RECIPES)[number], preset: string, given: ConfigLayer): ConfigLayer {
  const paper = preset.startsWith('SiT-') ? SIT_RECIPE : PAPER_RECIPE;
  const { data: _, ...recipe } = fillRecipe(name === 'paper' ? paper : LAPTOP_RECIPE, preset, given);
  return { ...recipe, model: { classDropoutProb: 0.1 } };
}

function fillRecipe(recipe: Recipe, preset: string, given: ConfigLayer) {
  const kind = String((given.data as ConfigLayer | undefined)?.kind ?? 'emoji');
  const { batchSize, microBatch } = { ...recipe.training, ...(given.training as object | undefined) };
  const shards = Number(microBatch ?? batchSize) % 2 === 0 ? 2 : 1;
  return {
    ...recipe,
    model: { preset },
    data: { kind, ...DATA_KINDS[kind as DataKind]?.defaults[recipe.data] },
    optimizer: optimizerOf(recipe.optimizer, given),
    training: { ...recipe.training, shards },
  };
}

/** Another optimizer than the recipe's needs a learning rate of its own; the schedule suits all. */
function optimizerOf(recipe: Recipe['optimizer'], given: ConfigLayer) {
  const kind = String((given.optimizer as ConfigLayer | undefined)?.kind ?? recipe.kind);
  const defaults = OPTIMIZER_DEFAULTS[kind as OptimizerKind] as object | undefined;
  return { ...recipe, ...defaults, kind };
}

function recipeOf(preset: string) {
  if (Object.hasOwn(AUTOENCODER_PRESETS, preset)) return AUTOENCODER_RECIPE;
  // Networks of one's own are tried out where one sits.
  if (preset === DEFAULT_PRESET || !Object.hasOwn(PRESETS, preset)) return LAPTOP_RECIPE;
  return preset.startsWith('SiT-') ? SIT_RECIPE : PAPER_RECIPE;
}
