/**
 * @file Guidance in a part of the steps only (Kynkäänniemi et al. 2024): where images are nearly noise it narrows what
 * they may become, and where they are nearly finished it changes nothing any more.
 */
import { ConfigError } from '../../core/errors.ts';
import { toNumbers } from '../../core/host-tensor.ts';
import type { SamplingPlan } from '../../diffusion/sampling-plan.ts';

/**
 * The steps that begin at a time from `lo` to `hi` are guided, both ends included. Times are the objective's own: 0
 * (noise) … 1 (data) for flows, 999 (noise) … 0 (data) for Gaussian diffusion of 1000 steps.
 */
export type GuidanceInterval = readonly [lo: number, hi: number];

const WHERE = 'cfg interval';

/** @throws ConfigError if it is none, or there is no guidance to limit */
export function expectUsableInterval([lo, hi]: GuidanceInterval, cfgScale: number): void {
  if (!(lo <= hi)) {
    throw new ConfigError({
      where: WHERE,
      problem: `it goes from ${lo} to ${hi}`,
      fix: 'give the smaller time first: 0.1,0.9 for a flow, 100,900 for Gaussian diffusion',
    });
  }
  if (cfgScale === 1) {
    throw new ConfigError({
      where: WHERE,
      problem: `at ${lo} to ${hi} guidance is asked for, but cfg scale 1 guides nothing`,
      fix: 'raise the cfg scale, or leave the interval out',
    });
  }
}

interface Guidance {
  readonly cfgScale: number;
  readonly cfgInterval?: GuidanceInterval;
}

/** Is the network guided at this time? */
export function isGuidedAt(time: number, { cfgScale, cfgInterval }: Guidance): boolean {
  if (cfgScale === 1 || cfgInterval === undefined) return cfgScale !== 1;
  const [lo, hi] = cfgInterval.map(Math.fround) as [number, number]; // as times are
  return time >= lo && time <= hi;
}

/**
 * Is each step of a plan guided?
 *
 * @throws ConfigError if none is, though guidance is asked for
 */
export function guidedSteps({ steps }: Pick<SamplingPlan, 'steps'>, guidance: Guidance): boolean[] {
  const times = steps.map((feeds) => toNumbers(feeds.get('time')!)[0]!);
  const guided = times.map((time) => isGuidedAt(time, guidance));
  const { cfgInterval } = guidance;
  if (cfgInterval === undefined || guided.includes(true)) return guided;
  throw new ConfigError({
    where: WHERE,
    problem: `no step begins from ${cfgInterval.join(' to ')}: the ${times.length} steps are at ${Math.min(...times)} to ${Math.max(...times)}`,
    fix: 'take more steps, widen the interval, or use cfg scale 1',
  });
}
