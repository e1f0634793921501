/** @file How much data and how much noise there is in images at a time of an objective. */
import type { FlowObjective } from './flow/objective.ts';
import { FLOW_PATHS, levelAt } from './flow/path.ts';
import type { GaussianObjective } from './gaussian/objective.ts';
import type { NoiseLevel } from './solvers/dpm-solver.ts';

/**
 * The images that a step sees at this time are α data + σ noise.
 *
 * @param time - as steps of plans are fed it: 999 (noise) … 0 or 0 (noise) … 1
 */
export function noiseLevelAt(objective: GaussianObjective | FlowObjective, time: number): NoiseLevel {
  if (objective.kind === 'flow') {
    const { alpha, sigma } = levelAt(FLOW_PATHS[objective.options.path], time);
    return { alpha, sigma };
  }
  const { networkSteps, tables } = objective.diffusion;
  const alphaBar = tables.alphaBars[networkSteps.indexOf(time)]!;
  return { alpha: Math.sqrt(alphaBar), sigma: Math.sqrt(1 - alphaBar) };
}
