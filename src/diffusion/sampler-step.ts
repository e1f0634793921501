/** @file What one step of any sampler yields. */
import type { Unlabelled } from '../graph/tensor.ts';

export interface SamplerStep {
  /** The images after the step, [N, C, H, W]: less noisy by one step. */
  readonly x: Unlabelled;
  /** The finished images that the network saw in them at the step's start, [N, C, H, W]. */
  readonly x0: Unlabelled;
}
