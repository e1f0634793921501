/** @file The graph of one sampling step: network, guidance and update together. */
import { ConfigError } from '../../core/errors.ts';
import { zeros } from '../../core/host-tensor.ts';
import type { Denoise, DenoiseWithLabels, Images, PerSample } from '../../diffusion/denoise.ts';
import { guided } from '../../diffusion/guidance.ts';
import type { AdaptivePlan, SamplingPlan } from '../../diffusion/sampling-plan.ts';
import { type Graph, graphOf, leavesOf } from '../../engine/graph/graph.ts';
import { concat, constant, input, slice } from '../../engine/graph/operators.ts';
import type { Tensor } from '../../engine/graph/tensor.ts';
import type { Denoiser } from '../../networks/denoisers/denoiser.ts';
import type { ClassMix } from '../../networks/nn/conditioning.ts';
import { imageShapeOf, type TraceAt } from '../../networks/trace.ts';
import type { SamplingSettings } from './settings.ts';

// N batch · C H W image or latent

/** The output that holds what the next step is fed as `name`, one of the plan's `memory`. */
export function memoryOutput(name: string): string {
  return `next.${name}`;
}

export interface StepOptions extends TraceAt {
  /** Is each image between two classes? */
  readonly mixesClasses?: boolean | undefined;
}

/**
 * Takes `x` [N, C, H, W], `labels` int64 [N], where the plan asks for it `noise` like `x`, with guidance `cfgScale`
 * (a scalar), what the plan remembers, and what it feeds each step. Gives `next`, the images after the step, `x0`, the
 * finished images as the network sees them, and what is to be remembered as {@link memoryOutput} names it. Where steps are
 * chosen on the way, `slope` instead of `next`: where the images go. Where classes are mixed it takes the second ones too,
 * `towards` int64 [N], and their `weight` [N].
 *
 * @throws ConfigError if classes are to be mixed and the network does not mix them
 */
export function buildStepGraph(
  model: Denoiser,
  plan: SamplingPlan | AdaptivePlan,
  { cfgScale, cfgChannels }: Pick<SamplingSettings, 'cfgScale' | 'cfgChannels'>,
  batchSize: number,
  { size, mixesClasses = false, ...options }: StepOptions = {},
): Graph {
  const shape = [batchSize, ...imageShapeOf(model.config, size)];
  const images = input('x', shape);
  const labels = input('labels', [batchSize], 'i64');
  const mix = mixesClasses
    ? { y: input('towards', [batchSize], 'i64'), weight: input('weight', [batchSize]) }
    : undefined;
  const predict: DenoiseWithLabels = (x, t, y) =>
    model.apply(x, { t, y, towards: mix && mixFor(y, mix) }, { form: 'merged', ...options });
  const denoise: Denoise =
    cfgScale === 1
      ? (x, t) => predict(x, t, labels)
      : guided(predict, {
          labels,
          scale: input('cfgScale', []),
          channels: cfgChannels,
          nullLabel: model.config.numClasses,
        });
  const graph = graphOf(outputsOf(plan, denoise, images));
  if (!mixesClasses || leavesOf(graph, 'input').some(({ params }) => params.name === 'weight')) return graph;
  throw new ConfigError({
    where: 'mixesClasses',
    problem: 'this network does not mix classes: it passes over `towards` of its condition',
    fix: 'give it to its label embedder, or draw one class at a time',
  });
}

function outputsOf(
  plan: SamplingPlan | AdaptivePlan,
  denoise: Denoise,
  images: Images,
): Readonly<Record<string, Tensor>> {
  if (!('steps' in plan)) return { ...plan.build(denoise, images) };
  const {
    x,
    x0,
    memory = {},
  } = plan.build(denoise, images, plan.usesNoise ? input('noise', images.shape) : undefined);
  const remembered = Object.entries(memory).map(([name, value]) => [memoryOutput(name), value] as const);
  return { next: x, x0, ...Object.fromEntries(remembered) };
}

/** Guidance lets the images follow once more, without their classes: these are not mixed. */
function mixFor(labels: PerSample, { y, weight }: ClassMix): ClassMix {
  const [mixed, count] = [y.shape[0]!, labels.shape[0]!];
  if (count === mixed) return { y, weight };
  return {
    y: concat([y, slice(labels, 0, mixed, count)], 0),
    weight: concat([weight, constant(zeros('f32', [count - mixed]))], 0),
  };
}
