/** @file Settings and plan of a drawing together, so that what a model suggests is used only where the steps have it. */

import type { FlowObjective } from '../../diffusion/flow/objective.ts';
import type { GaussianObjective } from '../../diffusion/gaussian/objective.ts';
import { createObjective } from '../../diffusion/objectives.ts';
import { planAnySampling } from '../../diffusion/samplers.ts';
import type { AdaptivePlan, SamplingPlan } from '../../diffusion/sampling-plan.ts';
import type { SavedModel } from '../../models/saved-model.ts';
import {
  chooseSettings,
  type GuidanceInterval,
  hasGuidedStep,
  type RequestedSettings,
  type SamplingSettings,
} from './settings.ts';

/** What is chosen depends on this of a model. */
export interface SettledModel extends Pick<SavedModel, 'network'> {
  readonly card: Pick<SavedModel['card'], 'objective' | 'guidance'>;
}

export interface ChosenDrawing {
  readonly objective: GaussianObjective | FlowObjective;
  readonly settings: SamplingSettings;
  readonly plan: SamplingPlan | AdaptivePlan;
  /** The interval that the model suggests, where no step begins in it: the settings have none, and all steps are guided. */
  readonly unusedInterval?: GuidanceInterval;
}

/**
 * @param strength - where drawing begins
 * @throws ConfigError for settings that do not fit the model or each other
 */
export function chooseDrawing(
  { card, network }: SettledModel,
  requested: RequestedSettings = {},
  strength = 1,
): ChosenDrawing {
  const objective = createObjective(card.objective);
  const settings = chooseSettings(objective.kind, network.config, requested, card.guidance);
  const plan = planAnySampling(objective, settings.sampler, { ...settings, strength });
  const { cfgInterval, ...others } = settings;
  const isSuggested = cfgInterval !== undefined && requested.cfgInterval === undefined;
  if (!isSuggested || hasGuidedStep(plan, settings)) return { objective, settings, plan };
  return { objective, settings: others, plan, unusedInterval: cfgInterval };
}
