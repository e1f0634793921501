/** @file What is compared: samplers with their steps, on a flow. */
import type { SamplerName } from '../../src/diffusion/samplers.ts';
import type { GuidanceInterval } from '../../src/tasks/sampling/settings.ts';

export interface Contender {
  readonly sampler: SamplerName;
  /** Absent where the sampler chooses its steps. */
  readonly steps?: number;
  readonly shift?: number;
  readonly rtol?: number;
  readonly cfgInterval?: GuidanceInterval;
  /** Is the Fréchet distance measured too? It takes fourteen times as many pictures. */
  readonly frechet?: true;
}

/** The exact flow, as nearly as makes no difference. */
export const REFERENCE: Contender = { sampler: 'heun', steps: 100, shift: 3 };

export const CONTENDERS: readonly Contender[] = [
  { sampler: 'euler', shift: 1, steps: 12 },
  { sampler: 'euler', shift: 1, steps: 25, frechet: true },
  { sampler: 'euler', shift: 1, steps: 50 },
  { sampler: 'euler', shift: 3, steps: 8 },
  { sampler: 'euler', shift: 3, steps: 12 },
  { sampler: 'euler', shift: 3, steps: 16 },
  { sampler: 'euler', shift: 3, steps: 25 },
  { sampler: 'heun', shift: 3, steps: 6 },
  { sampler: 'heun', shift: 3, steps: 12 },
  { sampler: 'midpoint', shift: 3, steps: 12 },
  { sampler: 'heun3', shift: 3, steps: 8 },
  { sampler: 'rk4', shift: 3, steps: 6 },
  { sampler: 'dopri5', rtol: 1e-2 },
  { sampler: 'dopri5', rtol: 1e-3 },
  { sampler: 'dpm++2m', shift: 1, steps: 16 },
  { sampler: 'dpm++2m', shift: 2, steps: 16 },
  { sampler: 'dpm++2m', shift: 3, steps: 8, frechet: true },
  { sampler: 'dpm++2m', shift: 3, steps: 12 },
  { sampler: 'dpm++2m', shift: 3, steps: 16, frechet: true },
  { sampler: 'dpm++2m', shift: 3, steps: 25 },
  { sampler: 'dpm++2m', shift: 4, steps: 16 },
  { sampler: 'dpm++2m', shift: 6, steps: 16 },
  { sampler: 'dpm++2m', shift: 3, steps: 16, cfgInterval: [0.05, 0.8], frechet: true },
  { sampler: 'dpm++2m-sde', shift: 3, steps: 16, frechet: true },
  { sampler: 'sde-euler', steps: 25, frechet: true },
];

/** Does it follow the flow, so that it has a distance from the exact one? */
export function followsFlow({ sampler, cfgInterval }: Contender): boolean {
  return !sampler.includes('sde') && cfgInterval === undefined;
}
