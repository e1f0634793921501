/** @file The published model that a model is compared with: of the other shape, at the nearest cost. */
import { ConfigError } from '../../core/errors.ts';
import type { ImageSize } from '../../core/image-size.ts';
import { type MacCounts, macsOf, sumMacs, totalMacs } from '../../engine/graph/macs.ts';
import { PRESETS, presetSpec } from '../../networks/presets.ts';
import { createModel, type ModelSpec } from '../../networks/registry.ts';
import { traceNetwork } from '../../networks/trace.ts';
import { type AttentionCost, attentionCosts } from './attention-cost.ts';

export interface Counterpart {
  readonly name: string;
  readonly macs: MacCounts;
  readonly attention: readonly AttentionCost[];
}

const PUBLISHED_DIT = /^DiT-(S|B|L|XL)\/\d$/;
const PUBLISHED_UDIT = /^U-DiT-(S|B|L)$/;

/**
 * A DiT for a U, a U-DiT for every other model. At the same input, of the trained size unless told; undefined where no
 * published model takes it.
 */
export function counterpartOf(
  { family, config }: ModelSpec,
  macs: MacCounts,
  size?: ImageSize,
): Counterpart | undefined {
  const { inputSize, inChannels, numClasses, learnSigma } = config;
  const published = family === 'U-DiT' ? PUBLISHED_DIT : PUBLISHED_UDIT;
  const candidates = Object.keys(PRESETS)
    .filter((name) => published.test(name))
    .flatMap((name) => {
      const spec = presetSpec(name, { inputSize, inChannels, numClasses, learnSigma });
      return costIfPossible(name, spec, size) ?? [];
    });
  const distance = (candidate: Counterpart) =>
    Math.abs(Math.log(totalMacs(candidate.macs) / totalMacs(macs)));
  return candidates.sort((a, b) => distance(a) - distance(b))[0];
}

/** Not every patch size and down factor divides every input size. */
function costIfPossible(name: string, spec: ModelSpec, size: ImageSize | undefined): Counterpart | undefined {
  try {
    const model = createModel(spec);
    const work = macsOf([traceNetwork(model, { size }).outputs.prediction]);
    return { name, macs: sumMacs(work), attention: attentionCosts(model.stages(size), work) };
  } catch (error) {
    if (error instanceof ConfigError) return undefined;
    throw error;
  }
}
