/** @file Objectives by name: how a configuration or a checkpoint says what its model predicts. */
import type { FlowOptions } from './flow/flow.ts';
import { type FlowObjective, flowObjective } from './flow/objective.ts';
import type { GaussianOptions } from './gaussian/gaussian.ts';
import { type GaussianObjective, gaussianObjective } from './gaussian/objective.ts';

/** Plain data, as written into configurations and checkpoints. Options that are left out are the reference's. */
export type ObjectiveSpec =
  | ({ readonly kind: 'gaussian' } & Partial<GaussianOptions>)
  | ({ readonly kind: 'flow' } & Partial<FlowOptions>);

export function createObjective(spec: ObjectiveSpec): GaussianObjective | FlowObjective {
  if (spec.kind === 'gaussian') {
    const { kind, ...options } = spec;
    return gaussianObjective(options);
  }
  const { kind, ...options } = spec;
  return flowObjective(options);
}
