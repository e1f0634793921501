/** @file What the names and shapes of a checkpoint's tensors show of a model of each family. */

import type { Shape } from '../core/shape.ts';
import type { DenoiserConfig } from './denoisers/denoiser.ts';
import type { DiTConfig } from './denoisers/dit.ts';
import { FULL_ATTENTION } from './denoisers/dit.ts';
import { gatedHiddenWidth } from './denoisers/dit-llama.ts';
import type { UDiTConfig } from './denoisers/udit.ts';
import type { Recognised, ShapeOf } from './family.ts';
import { DIT_LLAMA_PRESETS, DIT_PRESETS, UDIT_PRESETS } from './published-sizes.ts';

type Presets = Readonly<Record<string, { readonly width: number; readonly heads: number }>>;

/** Numbers of classes of well-known data sets. */
const USUAL_CLASSES = [100, 1000];

/**
 * A label table ends in a row for the null label, if the class was hidden at times in training. One row is a model
 * without classes, and a round number of rows is taken for a table without that row.
 */
export function labelsOf(
  rows: number,
  numClasses?: number,
): Pick<DenoiserConfig, 'numClasses' | 'classDropoutProb'> {
  const isWhole = numClasses === undefined ? rows === 1 || USUAL_CLASSES.includes(rows) : rows === numClasses;
  return isWhole
    ? { numClasses: rows, classDropoutProb: 0 }
    : { numClasses: numClasses ?? rows - 1, classDropoutProb: 0.1 };
}

/** 256×256 images through an autoencoder that divides sides by 8. */
const USUAL_SIDE = 32;

export function recogniseUDiT(
  shapeOf: ShapeOf,
  names: readonly string[],
): Recognised<UDiTConfig> | undefined {
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
  const data = dataOptions(USUAL_SIDE, inChannels, outChannels, rows);
  return {
    data,
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
      ...(heads === undefined ? { heads: headsOfPreset(UDIT_PRESETS, width) ?? Math.ceil(width / 24) } : {}),
    },
    assumedData: ['inputSize', ...unseenNullLabel(data)],
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

export function recogniseDiT(shapeOf: ShapeOf, names: readonly string[]): Recognised<DiTConfig> | undefined {
  const [hidden] = shapeOf('blocks.0.mlp.fc1.weight') ?? [];
  return hidden === undefined
    ? undefined
    : recognisePatches(DIT_PRESETS, (width) => hidden / width, shapeOf, names);
}

export function recogniseDiTLlama(
  shapeOf: ShapeOf,
  names: readonly string[],
): Recognised<DiTConfig> | undefined {
  const [hidden] = shapeOf('blocks.0.mlp.c_fc1.weight') ?? [];
  if (hidden === undefined) return undefined;
  // Hidden widths are rounded up, so that several ratios give the same.
  const ratioAt = (width: number) => (gatedHiddenWidth(width, 4) === hidden ? 4 : (1.5 * hidden) / width);
  return recognisePatches(DIT_LLAMA_PRESETS, ratioAt, shapeOf, names);
}

/**
 * SiT has DiT's tensors: whether a variance is learned or discarded does not show, and is taken to be learned. A table of
 * positions shows the size of the images if they are squares; it can be computed, so a file may lack it.
 */
function recognisePatches(
  presets: Presets,
  mlpRatioAt: (width: number) => number,
  shapeOf: ShapeOf,
  names: readonly string[],
): Recognised<DiTConfig> | undefined {
  const [width, inChannels, patchSize] = shapeOf('x_embedder.proj.weight') ?? [];
  const [rows] = shapeOf('y_embedder.embedding_table.weight') ?? [];
  const [, tokens] = shapeOf('pos_embed') ?? [];
  const [values] = shapeOf('final_layer.linear.weight') ?? [];
  if (!width || !inChannels || !rows || !values) return undefined;
  if (patchSize !== 2 && patchSize !== 4 && patchSize !== 8) return undefined;
  const side = Math.sqrt(tokens ?? Number.NaN);
  const showsSize = Number.isInteger(side);
  const depth = countBlocks('blocks', names);
  const data = dataOptions(
    showsSize ? side * patchSize : USUAL_SIDE,
    inChannels,
    values / patchSize ** 2,
    rows,
  );
  return {
    data,
    shown: { width, patchSize, depth, mlpRatio: mlpRatioAt(width) },
    usual: {
      heads: headsOfPreset(presets, width) ?? Math.ceil(width / 64),
      discardSigma: false,
      ...FULL_ATTENTION,
    },
    assumedData: [...(showsSize ? [] : ['inputSize']), ...unseenNullLabel(data)],
  };
}

function dataOptions(
  inputSize: number,
  inChannels: number,
  outChannels: number,
  rows: number,
): DenoiserConfig {
  return { inputSize, inChannels, ...labelsOf(rows), learnSigma: outChannels === 2 * inChannels };
}

/** A table of classes without a null label looks like one of fewer classes with it. */
function unseenNullLabel({ numClasses, classDropoutProb }: DenoiserConfig): string[] {
  return classDropoutProb === 0 && numClasses !== 1 ? ['classDropoutProb'] : [];
}

/** Heads leave no trace in the shapes of a projection; the published sizes have one number of them per width. */
function headsOfPreset(presets: Presets, width: number): number | undefined {
  return Object.values(presets).find((config) => config.width === width)?.heads;
}

/** Different numbers that follow `level.` in names. */
export function countBlocks(level: string, names: readonly string[]): number {
  const numbers = names
    .filter((name) => name.startsWith(`${level}.`))
    .map((name) => name.slice(level.length + 1).split('.', 1)[0]);
  return new Set(numbers).size;
}
