/** @file The graph of one sampling step: network, guidance and update together. */
import type { Denoise } from '../diffusion/denoise.ts';
import { guided } from '../diffusion/guidance.ts';
import type { SamplingPlan } from '../diffusion/samplers.ts';
import { type Graph, graphOf } from '../graph/graph.ts';
import { input } from '../graph/operators.ts';
import type { Denoiser } from '../models/denoiser.ts';
import type { SamplingSettings } from './settings.ts';

// N batch · C H W image or latent

/**
 * Takes `x` [N, C, H, W], `labels` int64 [N], where the plan asks for it `noise` like `x`, with guidance `cfgScale`
 * (a scalar), and what the plan feeds each step. Gives `next`, the images after the step, and `x0`, the finished images
 * as the network sees them.
 */
export function buildStepGraph(
  model: Denoiser,
  plan: SamplingPlan,
  { cfgScale, cfgChannels }: Pick<SamplingSettings, 'cfgScale' | 'cfgChannels'>,
  batchSize: number,
): Graph {
  const { inChannels, inputSize, numClasses } = model.config;
  const shape = [batchSize, inChannels, inputSize, inputSize];
  const images = input('x', shape);
  const labels = input('labels', [batchSize], 'i64');
  const denoise: Denoise =
    cfgScale === 1
      ? (x, t) => model.apply(x, { t, y: labels })
      : guided((x, t, y) => model.apply(x, { t, y }), {
          labels,
          scale: input('cfgScale', []),
          channels: cfgChannels,
          nullLabel: numClasses,
        });
  const { x, x0 } = plan.build(denoise, images, plan.usesNoise ? input('noise', shape) : undefined);
  return graphOf({ next: x, x0 });
}
