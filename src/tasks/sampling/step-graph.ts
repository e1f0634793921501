/** @file The graph of one sampling step: network, guidance and update together. */
import type { Denoise, DenoiseWithLabels } from '../../diffusion/denoise.ts';
import { guided } from '../../diffusion/guidance.ts';
import type { AdaptivePlan, SamplingPlan } from '../../diffusion/sampling-plan.ts';
import { type Graph, graphOf } from '../../engine/graph/graph.ts';
import { input } from '../../engine/graph/operators.ts';
import type { Denoiser } from '../../networks/denoisers/denoiser.ts';
import { imageShapeOf, type TraceAt } from '../../networks/trace.ts';
import type { SamplingSettings } from './settings.ts';

// N batch · C H W image or latent

/** The output that holds what the next step is fed as `name`, one of the plan's `memory`. */
export function memoryOutput(name: string): string {
  return `next.${name}`;
}

/**
 * Takes `x` [N, C, H, W], `labels` int64 [N], where the plan asks for it `noise` like `x`, with guidance `cfgScale`
 * (a scalar), what the plan remembers, and what it feeds each step. Gives `next`, the images after the step, `x0`, the
 * finished images as the network sees them, and what is to be remembered as {@link memoryOutput} names it. Where steps are
 * chosen on the way, `slope` instead of `next`: where the images go.
 */
export function buildStepGraph(
  model: Denoiser,
  plan: SamplingPlan | AdaptivePlan,
  { cfgScale, cfgChannels }: Pick<SamplingSettings, 'cfgScale' | 'cfgChannels'>,
  batchSize: number,
  { size, ...options }: TraceAt = {},
): Graph {
  const shape = [batchSize, ...imageShapeOf(model.config, size)];
  const images = input('x', shape);
  const labels = input('labels', [batchSize], 'i64');
  const predict: DenoiseWithLabels = (x, t, y) => model.apply(x, { t, y }, { form: 'merged', ...options });
  const denoise: Denoise =
    cfgScale === 1
      ? (x, t) => predict(x, t, labels)
      : guided(predict, {
          labels,
          scale: input('cfgScale', []),
          channels: cfgChannels,
          nullLabel: model.config.numClasses,
        });
  if (!('steps' in plan)) return graphOf({ ...plan.build(denoise, images) });
  const {
    x,
    x0,
    memory = {},
  } = plan.build(denoise, images, plan.usesNoise ? input('noise', shape) : undefined);
  const remembered = Object.entries(memory).map(([name, value]) => [memoryOutput(name), value] as const);
  return graphOf({ next: x, x0, ...Object.fromEntries(remembered) });
}
