/** @file What names and shapes of tensors show of an autoencoder, and the names that published files have for its keys. */

import type { AutoencoderKLConfig } from './autoencoders/autoencoder-kl.ts';
import type { TaesdConfig } from './autoencoders/taesd.ts';
import type { Recognised, ShapeOf } from './family.ts';
import { countBlocks } from './recognise-shapes.ts';

/** Pictures of ImageNet, with which most of them are used. */
const USUAL_SIDE = 256;

/** Of all published ones; no tensor shows it. */
const USUAL_GROUPS = 32;

export function recogniseAutoencoderKL(
  shapeOf: ShapeOf,
  names: readonly string[],
): Recognised<AutoencoderKLConfig> | undefined {
  const [, inChannels] = shapeOf('encoder.conv_in.weight') ?? [];
  const [, latentChannels] = shapeOf('decoder.conv_in.weight') ?? [];
  if (!inChannels || !latentChannels) return undefined;
  const levels = countBlocks('encoder.down_blocks', names);
  const levelChannels = Array.from(
    { length: levels },
    (_, level) => shapeOf(`encoder.down_blocks.${level}.resnets.0.conv1.weight`)?.[0] ?? 0,
  );
  if (levels === 0 || levelChannels.includes(0)) return undefined;
  return {
    data: { inputSize: USUAL_SIDE, inChannels },
    shown: {
      latentChannels,
      factor: 2 ** (levels - 1),
      levelChannels,
      layersPerLevel: countBlocks('encoder.down_blocks.0.resnets', names),
      midAttention: shapeOf('encoder.mid_block.attentions.0.to_q.weight') !== undefined,
      quantConv: shapeOf('quant_conv.weight') !== undefined,
    },
    usual: { normGroups: USUAL_GROUPS },
    assumedData: ['inputSize'],
  };
}

export function recogniseTaesd(shapeOf: ShapeOf): Recognised<TaesdConfig> | undefined {
  const [width, inChannels] = shapeOf('encoder.0.weight') ?? [];
  const [, latentChannels] = shapeOf('decoder.1.weight') ?? [];
  if (!width || !inChannels || !latentChannels) return undefined;
  const middleNorm = shapeOf('encoder.11.pool.0.weight') !== undefined;
  return {
    data: { inputSize: USUAL_SIDE, inChannels },
    shown: { latentChannels, factor: 8, width, middleNorm },
    usual: {},
    assumedData: ['inputSize'],
  };
}

/** Projections of attention as files before 2023 call them. */
const DEPRECATED = { query: 'to_q', key: 'to_k', value: 'to_v', proj_attn: 'to_out.0' } as const;

export function checkpointKeyOfKL(published: string): string {
  return published.replace(
    /(?<=mid_block\.attentions\.\d+\.)(query|key|value|proj_attn)(?=\.)/,
    (name) => DEPRECATED[name as keyof typeof DEPRECATED],
  );
}

/** diffusers counts the layers of a half below `layers`, those of the decoder without its clamp. */
export function checkpointKeyOfTaesd(published: string): string {
  return published.replace(
    /(?<=(?:^|\.)(encoder|decoder)\.)layers\.(\d+)(?=\.)/,
    (_, half: string, index: string) => String(Number(index) + (half === 'decoder' ? 1 : 0)),
  );
}
