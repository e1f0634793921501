/** @file The options of the families and their kinds. */
import * as v from 'valibot';
import { count, fraction, imageSize, positive } from '../core/values.ts';

/** Options of every denoiser. */
export const DENOISER_OPTIONS = {
  inputSize: imageSize,
  inChannels: count,
  numClasses: count,
  learnSigma: v.boolean(),
  classDropoutProb: fraction,
};

const COMMON_OPTIONS = {
  ...DENOISER_OPTIONS,
  width: count,
  heads: count,
  mlpRatio: positive,
};

const TOKENS = v.picklist(['qkv', 'kv', 'none']);

export const PATCH_OPTIONS = {
  ...COMMON_OPTIONS,
  depth: count,
  patchSize: v.picklist([2, 4, 8]),
  discardSigma: v.boolean(),
  tokens: TOKENS,
  downFactor: count,
};

export const UDIT_OPTIONS = {
  ...COMMON_OPTIONS,
  depth: v.array(count),
  tokens: TOKENS,
  downFactor: v.union([count, v.array(count)]),
  downsampler: v.picklist(['dwconv1', 'dwconv3', 'dwconv5', 'pixel-shuffle']),
  downShortcut: v.boolean(),
  attention: v.picklist(['cosine', 'dot']),
  position: v.picklist(['rope2d', 'none']),
  ffn: v.picklist(['rep', 'dwconv', 'basic']),
};
