/** @file What a cell costs, and how many steps its budget buys. */
import { createObjective } from '../../diffusion/objectives.ts';
import { planSampling } from '../../diffusion/samplers.ts';
import type { ModelSpec } from '../../networks/registry.ts';
import { networkCost } from '../inspection/network-cost.ts';
import { chooseSettings } from '../sampling/settings.ts';
import type { TrainConfig } from '../training/config/train-config.ts';
import type { Budget, EvaluationSettings } from './grid-schema.ts';

/** A forward pass, and a backward pass, which is counted as two. */
const PASSES_PER_STEP = 3;

/** What is the same for all seeds of a variant. */
export interface VariantCost {
  /** Multiply-accumulates of one forward pass of one image, merged. */
  readonly macs: number;
  readonly parameters: number;
  readonly mergedParameters: number;
  /** Multiply-accumulates of one training step. */
  readonly macsPerStep: number;
  /** Multiply-accumulates of the pictures that are drawn at the end. */
  readonly evaluationMacs: number;
}

/** @throws ConfigError if the model cannot be built, or the sampler does not fit it */
export function variantCost(
  spec: ModelSpec,
  { training, objective }: Pick<TrainConfig, 'training' | 'objective'>,
  { samples, passes: _, ...requested }: EvaluationSettings,
): VariantCost {
  const cost = networkCost(spec);
  const learned = createObjective(objective);
  const settings = chooseSettings(learned.kind, spec.config, requested);
  const plan = planSampling(learned, settings.sampler, settings);
  const passesPerPicture = plan.nfe * (settings.cfgScale === 1 ? 1 : 2);
  return {
    ...cost,
    macsPerStep: PASSES_PER_STEP * cost.macs * training.batchSize,
    evaluationMacs: (samples ?? 0) * passesPerPicture * cost.macs,
  };
}

/** Undefined where only a measurement can tell. */
export function stepsWithin(
  { steps, teraMacs }: Budget,
  { macsPerStep }: Pick<VariantCost, 'macsPerStep'>,
): number | undefined {
  if (steps !== undefined) return steps;
  return teraMacs === undefined ? undefined : Math.max(1, Math.round((teraMacs * 1e12) / macsPerStep));
}
