/** @file Learning rates over the course of a training. Steps count from 1. */

export interface LearningRateSchedule {
  readonly kind: 'constant' | 'cosine';
  /** Peak value. */
  readonly learningRate: number;
  /** The rate rises linearly over this many steps. */
  readonly warmupSteps: number;
  /** Steps at which a cosine reaches zero. */
  readonly totalSteps: number;
}

/** The learning rate of update number `step`. */
export function learningRateAt(step: number, schedule: LearningRateSchedule): number {
  const { kind, learningRate, warmupSteps, totalSteps } = schedule;
  if (step <= warmupSteps) return (learningRate * step) / warmupSteps;
  if (kind === 'constant') return learningRate;
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
  return (learningRate * (1 + Math.cos(Math.PI * progress))) / 2;
}
