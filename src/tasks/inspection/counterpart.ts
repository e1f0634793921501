/** @file The published model that a model is compared with: of the other shape, at the nearest cost. */
import { ConfigError } from '../../core/errors.ts';
import { type MacCounts, macsOf, sumMacs, totalMacs } from '../../engine/graph/macs.ts';
import type { Denoiser } from '../../networks/denoisers/denoiser.ts';
import { PRESETS, presetSpec } from '../../networks/presets.ts';
import { createModel, type ModelSpec } from '../../networks/registry.ts';
import { traceForward } from '../../networks/trace.ts';
import { type AttentionCost, attentionCosts } from './attention-cost.ts';

export interface Counterpart {
  readonly name: string;
  readonly macs: MacCounts;
  readonly attention: readonly AttentionCost[];
}

const PUBLISHED_DIT = /^DiT-(S|B|L|XL)\/\d$/;
const PUBLISHED_UDIT = /^U-DiT-(S|B|L)$/;

/** A DiT for a U, a U-DiT for every other model. At the same input; undefined where no published model takes it. */
export function counterpartOf({ family, config }: ModelSpec, macs: MacCounts): Counterpart | undefined {
  const { inputSize, inChannels, numClasses, learnSigma } = config;
  const published = family === 'U-DiT' ? PUBLISHED_DIT : PUBLISHED_UDIT;
  const candidates = Object.keys(PRESETS)
    .filter((name) => published.test(name))
    .flatMap((name) => {
      const model = buildIfPossible(presetSpec(name, { inputSize, inChannels, numClasses, learnSigma }));
      return model === undefined ? [] : [costOf(name, model)];
    });
  const distance = (candidate: Counterpart) =>
    Math.abs(Math.log(totalMacs(candidate.macs) / totalMacs(macs)));
  return candidates.sort((a, b) => distance(a) - distance(b))[0];
}

/** Not every patch size and down factor divides every input size. */
function buildIfPossible(spec: ModelSpec): Denoiser | undefined {
  try {
    return createModel(spec);
  } catch (error) {
    if (error instanceof ConfigError) return undefined;
    throw error;
  }
}

function costOf(name: string, model: Denoiser): Counterpart {
  const work = macsOf([traceForward(model)]);
  return { name, macs: sumMacs(work), attention: attentionCosts(model.stages, work) };
}
