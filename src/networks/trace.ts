/** @file A model's graph on inputs of its own: for what looks at the graph, or compiles nothing but the forward pass. */
import { input } from '../engine/graph/operators.ts';
import type { Unlabelled } from '../engine/graph/tensor.ts';
import type { Denoiser, TraceOptions } from './denoisers/denoiser.ts';

export interface ForwardOptions {
  /** Images at once. Default 1. */
  readonly batch?: number;
  /** Default merged. */
  readonly form?: TraceOptions['form'];
  readonly groupBytes?: number;
}

/** The prediction for inputs `x` [N, C, H, W], `t` [N] and `y` [N]. */
export function traceForward(
  model: Denoiser,
  { batch = 1, form = 'merged', ...grouping }: ForwardOptions = {},
): Unlabelled {
  const { inChannels, inputSize } = model.config;
  const x = input('x', [batch, inChannels, inputSize, inputSize]);
  return model.apply(x, { t: input('t', [batch]), y: input('y', [batch], 'i64') }, { form, ...grouping });
}
