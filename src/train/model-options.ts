/** @file The model section of a configuration: a preset, and the options in which this run differs from it. */
import * as v from 'valibot';
import type { Family } from '../models/registry.ts';
import { count, fraction, positive } from './values.ts';

/** What a preset says may be said otherwise; what is left out stays the preset's. */
const COMMON_OPTIONS = {
  preset: v.string(),
  inputSize: v.exactOptional(count),
  inChannels: v.exactOptional(count),
  numClasses: v.exactOptional(count),
  learnSigma: v.exactOptional(v.boolean()),
  classDropoutProb: v.exactOptional(fraction),
  width: v.exactOptional(count),
  heads: v.exactOptional(count),
  mlpRatio: v.exactOptional(positive),
};

/** By family; a family that is not here does not compile. */
export const MODEL_SCHEMAS = {
  'U-DiT': v.strictObject({
    ...COMMON_OPTIONS,
    depth: v.exactOptional(v.array(count)),
    downFactor: v.exactOptional(v.union([count, v.array(count)])),
    downsampler: v.exactOptional(v.picklist(['dwconv1', 'dwconv3', 'dwconv5'])),
    downShortcut: v.exactOptional(v.boolean()),
    attention: v.exactOptional(v.picklist(['cosine', 'dot'])),
    position: v.exactOptional(v.picklist(['rope2d', 'none'])),
    ffn: v.exactOptional(v.picklist(['rep', 'dwconv', 'basic'])),
  }),
  DiT: v.strictObject({
    ...COMMON_OPTIONS,
    depth: v.exactOptional(count),
    patchSize: v.exactOptional(v.picklist([2, 4, 8])),
  }),
} satisfies Record<Family, unknown>;
