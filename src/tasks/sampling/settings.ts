/** @file How images are drawn, and the one place that chooses what the user leaves open. */
import { ConfigError } from '../../core/errors.ts';
import { toNumbers } from '../../core/host-tensor.ts';
import { usualSpace } from '../../core/image-space.ts';
import type { ObjectiveSpec } from '../../diffusion/objectives.ts';
import { SAMPLERS } from '../../diffusion/samplers.ts';
import type { AdaptivePlan, SamplingPlan } from '../../diffusion/sampling-plan.ts';
import {
  expectSettings,
  type GuidanceInterval,
  type SamplingSettings,
} from '../../diffusion/sampling-schema.ts';
import type { SuggestedGuidance } from '../../models/saved-model.ts';
import type { DenoiserConfig } from '../../networks/denoisers/denoiser.ts';

export type { GuidanceInterval, SamplingSettings };

/** What the user asked for; the rest is chosen by {@link chooseSettings}. */
export type RequestedSettings = { readonly [K in keyof SamplingSettings]?: SamplingSettings[K] | undefined };

const DEFAULTS: Readonly<Record<ObjectiveSpec['kind'], Pick<SamplingSettings, 'sampler' | 'cfgScale'>>> = {
  // As U-DiT's sample_ddp.py.
  gaussian: { sampler: 'ddpm', cfgScale: 1.5 },
  // Measured: docs/guides/choosing-a-sampler.md.
  flow: { sampler: 'dpm++2m', cfgScale: 3 },
};

/** Of flows: guidance bends the way near the noise most. */
const DEFAULT_SHIFT = 3;

/**
 * Larger batches are hardly faster per image on a CPU (LOG.md). Single images divide evenly among workers, need little
 * memory, and the first is there soonest; with guidance the network sees two of them anyway.
 */
export const DEFAULT_BATCH_SIZE = 1;

/** Are a model's images pixels (grey or RGB), rather than latents? */
export function drawsPixels({ inChannels }: DenoiserConfig): boolean {
  return usualSpace(inChannels).kind === 'pixels';
}

/**
 * Completes what was asked for with what suits the model: DDPM with 250 steps for Gaussian diffusion, DPM-Solver++ with 16
 * for flows; predicted images are limited to [−1, 1] where the sampler can and the images are pixels.
 *
 * @param suggested - guidance that suits the model, used unless a scale or an interval is asked for
 * @throws ConfigError for a setting that does not exist, or a value that it cannot have; if guidance is asked of a model
 * without a null label, or its interval is none
 */
export function chooseSettings(
  kind: ObjectiveSpec['kind'],
  model: DenoiserConfig,
  requested: RequestedSettings = {},
  suggested: SuggestedGuidance = {},
): SamplingSettings {
  expectSettings(withoutUndefined(requested));
  const hasNullLabel = model.classDropoutProb > 0;
  const asksForGuidance = requested.cfgScale !== undefined || requested.cfgInterval !== undefined;
  const guidance = asksForGuidance || !hasNullLabel ? {} : suggested;
  const { sampler = DEFAULTS[kind].sampler, ...open } = requested;
  const accepts = SAMPLERS[sampler][kind]?.accepts ?? [];
  const {
    steps = SAMPLERS[sampler].steps,
    cfgScale = hasNullLabel ? (guidance.cfgScale ?? DEFAULTS[kind].cfgScale) : 1,
    cfgInterval = guidance.cfgInterval,
    cfgChannels = model.inChannels < 3 ? 'all' : 3,
    clip = accepts.includes('clip') ? drawsPixels(model) : undefined,
    shift = accepts.includes('shift') ? DEFAULT_SHIFT : undefined,
    ...others
  } = open;
  if (cfgScale !== 1 && !hasNullLabel) {
    throw new ConfigError({
      where: 'sampling',
      problem: `cfg scale ${cfgScale} needs a row for the null label, but the label table has rows for its classes only (${model.numClasses}): class dropout was 0`,
      fix: 'use cfg scale 1',
    });
  }
  if (cfgInterval !== undefined) expectUsableInterval(cfgInterval, cfgScale);
  return {
    ...{ sampler, ...withoutUndefined({ steps }), cfgScale, cfgChannels },
    ...withoutUndefined({ cfgInterval, ...others, clip, shift }),
  };
}

/** What is left open is absent, not undefined, so that settings can be compared and written down. */
function withoutUndefined<T extends object>(
  values: T,
): { readonly [K in keyof T]?: Exclude<T[K], undefined> } {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as { readonly [K in keyof T]?: Exclude<T[K], undefined> };
}

const INTERVAL = 'cfg interval';

/** @throws ConfigError if it is none, or there is no guidance to limit */
export function expectUsableInterval([lo, hi]: GuidanceInterval, cfgScale: number): void {
  if (!(lo <= hi)) {
    throw new ConfigError({
      where: INTERVAL,
      problem: `it goes from ${lo} to ${hi}`,
      fix: 'give the smaller time first: 0.1,0.9 for a flow, 100,900 for Gaussian diffusion',
    });
  }
  if (cfgScale === 1) {
    throw new ConfigError({
      where: INTERVAL,
      problem: `guidance is requested from ${lo} to ${hi}, but cfg scale 1 is no guidance`,
      fix: 'raise the cfg scale, or leave the interval out',
    });
  }
}

type Guidance = Pick<SamplingSettings, 'cfgScale' | 'cfgInterval'>;

/** Is the network guided at this time? */
export function isGuidedAt(time: number, { cfgScale, cfgInterval }: Guidance): boolean {
  if (cfgScale === 1 || cfgInterval === undefined) return cfgScale !== 1;
  const [lo, hi] = cfgInterval.map(Math.fround) as [number, number]; // as times are
  return time >= lo && time <= hi;
}

/** Is any step of a plan guided? Of one that chooses its steps on the way, any time. */
export function hasGuidedStep(plan: SamplingPlan | AdaptivePlan, guidance: Guidance): boolean {
  if ('steps' in plan) return timesOf(plan).some((time) => isGuidedAt(time, guidance));
  const { cfgScale, cfgInterval } = guidance;
  const [from, to] = plan.interval;
  return cfgScale !== 1 && (cfgInterval === undefined || (cfgInterval[0] <= to && cfgInterval[1] >= from));
}

function timesOf({ steps }: Pick<SamplingPlan, 'steps'>): number[] {
  return steps.map((feeds) => toNumbers(feeds.get('time')!)[0]!);
}

/**
 * Is each step of a plan guided?
 *
 * @throws ConfigError if none is, though guidance is asked for
 */
export function guidedSteps(plan: Pick<SamplingPlan, 'steps'>, guidance: Guidance): boolean[] {
  const times = timesOf(plan);
  const guided = times.map((time) => isGuidedAt(time, guidance));
  const { cfgInterval } = guidance;
  if (cfgInterval === undefined || guided.includes(true)) return guided;
  throw new ConfigError({
    where: INTERVAL,
    problem: `no step begins from ${cfgInterval.join(' to ')}: the ${times.length} steps are at ${Math.min(...times)} to ${Math.max(...times)}`,
    fix: 'take more steps, widen the interval, or use cfg scale 1',
  });
}
