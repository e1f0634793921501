/** @file Which model a checkpoint belongs to, from the names and shapes of its tensors alone. */
import type { Shape } from '../core/shape.ts';
import type { DenoiserConfig } from './denoisers/denoiser.ts';
import { type DiTConfig, FULL_ATTENTION } from './denoisers/dit.ts';
import { gatedHiddenWidth } from './denoisers/dit-llama.ts';
import type { UDiTConfig } from './denoisers/udit.ts';
import { PRESETS } from './presets.ts';
import type { Family, ModelSpec } from './registry.ts';

export interface RecognisedModel {
  /** The preset with these sizes, or else the family. */
  readonly name: string;
  readonly spec: ModelSpec;
  /** Options that no tensor shows, as they are taken to be. */
  readonly assumed: Readonly<Record<string, unknown>>;
}

/** Shape of a tensor by its name; undefined where there is none. */
type ShapeOf = (name: string) => Shape | undefined;

interface Recognised<Config extends DenoiserConfig> {
  /** What follows from the data: no matter of the model's size. */
  readonly data: DenoiserConfig;
  /** What tensors show of the rest. */
  readonly shown: Partial<Config>;
  /** The others, as they are taken to be where no preset has the sizes shown. */
  readonly usual: Partial<Config>;
  /** Options of the data that no tensor shows. */
  readonly assumedData: readonly (keyof DenoiserConfig)[];
}

type Recogniser<Config extends DenoiserConfig> = (
  shapeOf: ShapeOf,
  names: readonly string[],
) => Recognised<Config> | undefined;

type ConfigOf<F extends Family> = Extract<ModelSpec, { readonly family: F }>['config'];

/** By family; a family that is not here does not compile. */
const RECOGNISERS: { readonly [F in Family]: Recogniser<ConfigOf<F>> } = {
  'U-DiT': recogniseUDiT,
  DiT: recogniseDiT,
  'DiT-LLaMA': recogniseDiTLlama,
};

export function recogniseModel(
  tensors: ReadonlyMap<string, { readonly shape: Shape }>,
): RecognisedModel | undefined {
  const names = [...tensors.keys()];
  for (const family of Object.keys(RECOGNISERS) as Family[]) {
    const recognise = RECOGNISERS[family] as Recogniser<ModelSpec['config']>;
    const recognised = recognise((name) => tensors.get(name)?.shape, names);
    if (recognised !== undefined) return complete(family, recognised);
  }
  return undefined;
}

function complete(family: Family, recognised: Recognised<ModelSpec['config']>): RecognisedModel {
  const { data, shown, usual, assumedData } = recognised;
  const preset = Object.entries(PRESETS).find(
    ([, spec]) => spec.family === family && agrees(spec.config, shown),
  );
  const config = { ...(preset?.[1].config ?? usual), ...shown, ...data };
  // Of a size that was published for SiT alone, channels for a variance are thrown away.
  if ('discardSigma' in config && config.discardSigma) {
    Object.assign(config, { learnSigma: false, discardSigma: data.learnSigma });
  }
  const assumed = {
    ...Object.fromEntries(assumedData.map((option) => [option, data[option]])),
    ...(preset === undefined ? usual : {}),
  };
  return { name: preset?.[0] ?? family, spec: { family, config } as ModelSpec, assumed };
}

function agrees(config: ModelSpec['config'], shown: Partial<ModelSpec['config']>): boolean {
  const options = config as unknown as Readonly<Record<string, unknown>>;
  return Object.entries(shown).every(
    ([key, value]) => JSON.stringify(options[key]) === JSON.stringify(value),
  );
}

/** Every label table of a published model ends in a row for the null label. */
const LABELS = { nullRows: 1, classDropoutProb: 0.1 };
/** 256×256 images through an autoencoder that divides sides by 8. */
const USUAL_SIDE = 32;

function recogniseUDiT(shapeOf: ShapeOf, names: readonly string[]): Recognised<UDiTConfig> | undefined {
  const block = 'encoder_level_1.0';
  const [width, inChannels] = shapeOf('x_embedder.proj.weight') ?? [];
  const [rows] = shapeOf('y_embedder_1.embedding_table.weight') ?? [];
  const [outChannels] = shapeOf('final_layer.out_proj.weight') ?? [];
  const downsampler = shapeOf(`${block}.attn1.downsampler.layer.weight`);
  const ffn = recogniseFeedForward(`${block}.mlp1`, shapeOf);
  if (!width || !inChannels || !rows || !outChannels || ffn === undefined) return undefined;
  const tokens = downsampler && recogniseDownsampler(downsampler, width);
  if (downsampler !== undefined && tokens === undefined) return undefined;
  const [heads] = shapeOf(`${block}.attn1.logit_scale`) ?? [];
  const levels = ['encoder_level_1', 'encoder_level_2', 'latent', 'decoder_level_2', 'decoder_level_1'];
  return {
    data: dataOptions(USUAL_SIDE, inChannels, outChannels, rows),
    shown: {
      width,
      depth: levels.map((level) => countBlocks(level, names)),
      mlpRatio: ffn.hidden / width,
      ffn: ffn.kind,
      ...tokens,
      ...(heads === undefined ? { attention: 'dot' } : { attention: 'cosine', heads }),
    },
    usual: {
      // Sub-grids without a convolution before them leave no trace: full attention is likelier.
      ...(tokens === undefined ? { tokens: 'none', downsampler: 'pixel-shuffle' } : {}),
      downFactor: 2,
      downShortcut: true,
      position: heads === undefined ? 'none' : 'rope2d',
      ...(heads === undefined ? { heads: headsOfPreset('U-DiT', width) ?? Math.ceil(width / 24) } : {}),
    },
    assumedData: ['inputSize'],
  };
}

/** Of keys and values alone it has twice their channels. */
function recogniseDownsampler(
  [channels, , kernel]: Shape,
  width: number,
): Pick<UDiTConfig, 'tokens' | 'downsampler'> | undefined {
  if (kernel !== 1 && kernel !== 3 && kernel !== 5) return undefined;
  return { tokens: channels === width ? 'qkv' : 'kv', downsampler: `dwconv${kernel}` };
}

function recogniseFeedForward(
  prefix: string,
  shapeOf: ShapeOf,
): { readonly kind: UDiTConfig['ffn']; readonly hidden: number } | undefined {
  const hiddenLayers = {
    rep: `${prefix}.project_in.1.weight`,
    dwconv: `${prefix}.project_in.weight`,
    basic: `${prefix}.fc1.weight`,
  } as const;
  for (const kind of ['rep', 'dwconv', 'basic'] as const) {
    const hidden = shapeOf(hiddenLayers[kind])?.[0];
    if (hidden !== undefined) return { kind, hidden };
  }
  return undefined;
}

function recogniseDiT(shapeOf: ShapeOf, names: readonly string[]): Recognised<DiTConfig> | undefined {
  const [hidden] = shapeOf('blocks.0.mlp.fc1.weight') ?? [];
  return hidden === undefined
    ? undefined
    : recognisePatches('DiT', (width) => hidden / width, shapeOf, names);
}

function recogniseDiTLlama(shapeOf: ShapeOf, names: readonly string[]): Recognised<DiTConfig> | undefined {
  const [hidden] = shapeOf('blocks.0.mlp.c_fc1.weight') ?? [];
  if (hidden === undefined) return undefined;
  // Hidden widths are rounded up, so that several ratios give the same.
  const ratioAt = (width: number) => (gatedHiddenWidth(width, 4) === hidden ? 4 : (1.5 * hidden) / width);
  return recognisePatches('DiT-LLaMA', ratioAt, shapeOf, names);
}

/** SiT has DiT's tensors: whether a variance is learned or discarded does not show, and is taken to be learned. */
function recognisePatches(
  family: Family,
  mlpRatioAt: (width: number) => number,
  shapeOf: ShapeOf,
  names: readonly string[],
): Recognised<DiTConfig> | undefined {
  const [width, inChannels, patchSize] = shapeOf('x_embedder.proj.weight') ?? [];
  const [rows] = shapeOf('y_embedder.embedding_table.weight') ?? [];
  const [, tokens] = shapeOf('pos_embed') ?? [];
  const [values] = shapeOf('final_layer.linear.weight') ?? [];
  if (!width || !inChannels || !rows || !tokens || !values) return undefined;
  if (patchSize !== 2 && patchSize !== 4 && patchSize !== 8) return undefined;
  const side = Math.sqrt(tokens) * patchSize;
  const depth = countBlocks('blocks', names);
  return {
    data: dataOptions(side, inChannels, values / patchSize ** 2, rows),
    shown: { width, patchSize, depth, mlpRatio: mlpRatioAt(width) },
    usual: {
      heads: headsOfPreset(family, width) ?? Math.ceil(width / 64),
      discardSigma: false,
      ...FULL_ATTENTION,
    },
    assumedData: [],
  };
}

function dataOptions(
  inputSize: number,
  inChannels: number,
  outChannels: number,
  rows: number,
): DenoiserConfig {
  const { nullRows, classDropoutProb } = LABELS;
  const learnSigma = outChannels === 2 * inChannels;
  return { inputSize, inChannels, numClasses: rows - nullRows, learnSigma, classDropoutProb };
}

/** Heads leave no trace in the shapes of a projection; the published sizes have one number of them per width. */
function headsOfPreset(family: Family, width: number): number | undefined {
  const preset = Object.values(PRESETS).find((spec) => spec.family === family && spec.config.width === width);
  return preset?.config.heads;
}

/** Different numbers that follow `level.` in names. */
function countBlocks(level: string, names: readonly string[]): number {
  const numbers = names
    .filter((name) => name.startsWith(`${level}.`))
    .map((name) => name.slice(level.length + 1).split('.', 1)[0]);
  return new Set(numbers).size;
}
