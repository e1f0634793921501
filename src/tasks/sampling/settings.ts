/** @file How images are drawn, and the one place that chooses what the user leaves open. */
import { ConfigError } from '../../core/errors.ts';
import type { ObjectiveSpec } from '../../diffusion/objectives.ts';
import { SAMPLERS, type SamplerName } from '../../diffusion/samplers.ts';
import type { SamplingOptions } from '../../diffusion/sampling-plan.ts';
import type { SuggestedGuidance } from '../../models/saved-model.ts';
import type { DenoiserConfig } from '../../networks/denoisers/denoiser.ts';
import { expectUsableInterval, type GuidanceInterval } from './guidance-interval.ts';

export interface SamplingSettings extends SamplingOptions {
  readonly sampler: SamplerName;
  /** Strength of classifier-free guidance; 1 is none and halves the work, 0 ignores the class. */
  readonly cfgScale: number;
  /** How many channels are guided; see `guided`. */
  readonly cfgChannels: 3 | 'all';
  /** Which steps are guided; without it all are. */
  readonly cfgInterval?: GuidanceInterval;
}

/** What the user asked for; the rest is chosen by {@link chooseSettings}. */
export type RequestedSettings = { readonly [K in keyof SamplingSettings]?: SamplingSettings[K] | undefined };

const DEFAULTS: Readonly<Record<ObjectiveSpec['kind'], Pick<SamplingSettings, 'sampler' | 'cfgScale'>>> = {
  // As U-DiT's sample_ddp.py.
  gaussian: { sampler: 'ddpm', cfgScale: 1.5 },
  // Measured: docs/guides/choosing-a-sampler.md.
  flow: { sampler: 'dpm++2m', cfgScale: 3 },
};

/** Without a number: the sampler chooses its steps on the way. */
const DEFAULT_STEPS: Readonly<Record<SamplerName, number | undefined>> = {
  ddpm: 250,
  ddim: 50,
  euler: 25,
  midpoint: 12,
  heun: 12,
  heun3: 8,
  rk4: 6,
  dopri5: undefined,
  'sde-euler': 250,
  'sde-heun': 125,
  'dpm++2m': 16,
  'dpm++2m-sde': 16,
};

/** Of flows: guidance bends the way near the noise most. */
const DEFAULT_SHIFT = 3;

/**
 * Larger batches are hardly faster per image on a CPU (LOG.md). Single images divide evenly among workers, need little
 * memory, and the first is there soonest; with guidance the network sees two of them anyway.
 */
export const DEFAULT_BATCH_SIZE = 1;

const MAX_PIXEL_CHANNELS = 3;

/** Are a model's images pixels (grey or RGB), rather than latents? */
export function drawsPixels({ inChannels }: DenoiserConfig): boolean {
  return inChannels <= MAX_PIXEL_CHANNELS;
}

/**
 * Completes what was asked for with what suits the model: DDPM with 250 steps for Gaussian diffusion, DPM-Solver++ with 16
 * for flows; predicted images are limited to [−1, 1] where the sampler can and the images are pixels.
 *
 * @param suggested - guidance that suits the model, used unless a scale or an interval is asked for
 * @throws ConfigError if guidance is asked of a model without a null label, its scale is not a number, or its interval
 * is none
 */
export function chooseSettings(
  kind: ObjectiveSpec['kind'],
  model: DenoiserConfig,
  requested: RequestedSettings = {},
  suggested: SuggestedGuidance = {},
): SamplingSettings {
  const hasNullLabel = model.classDropoutProb > 0;
  const asksForGuidance = requested.cfgScale !== undefined || requested.cfgInterval !== undefined;
  const guidance = asksForGuidance || !hasNullLabel ? {} : suggested;
  const { sampler = DEFAULTS[kind].sampler, ...open } = requested;
  const accepts = SAMPLERS[sampler][kind]?.accepts ?? [];
  const {
    steps = DEFAULT_STEPS[sampler],
    cfgScale = hasNullLabel ? (guidance.cfgScale ?? DEFAULTS[kind].cfgScale) : 1,
    cfgInterval = guidance.cfgInterval,
    cfgChannels = model.inChannels < 3 ? 'all' : 3,
    clip = accepts.includes('clip') ? drawsPixels(model) : undefined,
    shift = accepts.includes('shift') ? DEFAULT_SHIFT : undefined,
    ...others
  } = open;
  if (!Number.isFinite(cfgScale)) {
    throw new ConfigError({
      where: 'sampling',
      problem: `the cfg scale is ${cfgScale}`,
      fix: `use a number such as ${DEFAULTS[kind].cfgScale}`,
    });
  }
  if (cfgScale !== 1 && !hasNullLabel) {
    throw new ConfigError({
      where: 'sampling',
      problem: `cfg scale ${cfgScale} needs a model that was trained without its class at times; this one has class dropout 0`,
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
