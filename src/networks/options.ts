/** @file The options of each family and their kinds: what configurations may set, and what checkpoints say of their model. */
import * as v from 'valibot';
import { count, fraction, positive } from '../core/values.ts';
import { FULL_ATTENTION } from './denoisers/dit.ts';
import type { Family, ModelSpec } from './registry.ts';

const COMMON_OPTIONS = {
  inputSize: count,
  inChannels: count,
  numClasses: count,
  learnSigma: v.boolean(),
  classDropoutProb: fraction,
  width: count,
  heads: count,
  mlpRatio: positive,
};

const TOKENS = v.picklist(['qkv', 'kv', 'none']);

const PATCH_OPTIONS = {
  ...COMMON_OPTIONS,
  depth: count,
  patchSize: v.picklist([2, 4, 8]),
  discardSigma: v.boolean(),
  tokens: TOKENS,
  downFactor: count,
};

/** By family; a family that is not here does not compile. */
export const MODEL_OPTIONS = {
  'U-DiT': {
    ...COMMON_OPTIONS,
    depth: v.array(count),
    tokens: TOKENS,
    downFactor: v.union([count, v.array(count)]),
    downsampler: v.picklist(['dwconv1', 'dwconv3', 'dwconv5', 'pixel-shuffle']),
    downShortcut: v.boolean(),
    attention: v.picklist(['cosine', 'dot']),
    position: v.picklist(['rope2d', 'none']),
    ffn: v.picklist(['rep', 'dwconv', 'basic']),
  },
  DiT: PATCH_OPTIONS,
  'DiT-LLaMA': PATCH_OPTIONS,
} satisfies Record<Family, v.ObjectEntries>;

const STORED_PATCH_OPTIONS = {
  ...PATCH_OPTIONS,
  discardSigma: v.optional(PATCH_OPTIONS.discardSigma, false),
  tokens: v.optional(TOKENS, FULL_ATTENTION.tokens),
  downFactor: v.optional(PATCH_OPTIONS.downFactor, FULL_ATTENTION.downFactor),
};

/** A model as it is written down. Options that were added later are missing in earlier files. */
export const modelSpecSchema: v.GenericSchema<unknown, ModelSpec> = v.variant('family', [
  v.strictObject({
    family: v.literal('U-DiT'),
    config: v.strictObject({ ...MODEL_OPTIONS['U-DiT'], tokens: v.optional(TOKENS, 'qkv') }),
  }),
  v.strictObject({ family: v.literal('DiT'), config: v.strictObject(STORED_PATCH_OPTIONS) }),
  v.strictObject({ family: v.literal('DiT-LLaMA'), config: v.strictObject(STORED_PATCH_OPTIONS) }),
]);
