/** @file Options of the feature networks, and what names and shapes of tensors show of them. */
import * as v from 'valibot';
import { count } from '../core/values.ts';
import type { Recognised, ShapeOf } from './family.ts';
import { DINOV2_PRESETS, type DINOv2Config } from './features/dinov2.ts';
import { INCEPTION_PRESETS, type InceptionConfig } from './features/inception.ts';
import { countBlocks } from './recognise-shapes.ts';

const COMMON_OPTIONS = { inputSize: count, inChannels: v.literal(3) };

export const INCEPTION_OPTIONS = {
  ...COMMON_OPTIONS,
  classes: count,
  preprocessing: v.picklist(['tensorflow', 'pytorch']),
};

export const DINOV2_OPTIONS = {
  ...COMMON_OPTIONS,
  patchSize: count,
  width: count,
  depth: count,
  heads: count,
  positions: count,
};

export function recogniseInception(shapeOf: ShapeOf): Recognised<InceptionConfig> | undefined {
  const [classes] = shapeOf('fc.weight') ?? [];
  if (shapeOf('Conv2d_1a_3x3.conv.weight') === undefined || !classes) return undefined;
  const { inputSize, preprocessing } = INCEPTION_PRESETS['FID-Inception']!;
  return {
    data: { inputSize, inChannels: 3 },
    shown: { classes },
    usual: { preprocessing },
    assumedData: [],
  };
}

/** Of all published ones: heads leave no trace in the shapes of a projection. */
const HEAD_DIM = 64;

export function recogniseDINOv2(
  shapeOf: ShapeOf,
  names: readonly string[],
): Recognised<DINOv2Config> | undefined {
  const [width, inChannels, patchSize] = shapeOf('patch_embed.proj.weight') ?? [];
  const [, tokens] = shapeOf('pos_embed') ?? [];
  const isOne = shapeOf('cls_token') !== undefined && shapeOf('blocks.0.ls1.gamma') !== undefined;
  if (!isOne || !width || !inChannels || !patchSize || !tokens) return undefined;
  const { inputSize } = DINOV2_PRESETS['DINOv2-S/14']!;
  return {
    data: { inputSize, inChannels },
    shown: {
      ...{ width, patchSize, depth: countBlocks('blocks', names) },
      ...{ heads: Math.ceil(width / HEAD_DIM), positions: Math.sqrt(tokens - 1) },
    },
    usual: {},
    assumedData: [],
  };
}
