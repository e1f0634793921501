/** @file By which conventions others have stored latents: what their files do not say is read from the numbers. */
import { type LatentSpace, USUAL_LATENTS } from '../../../core/image-space.ts';
import type { LatentStatistics } from './latent-statistics.ts';
import type { LatentStore, LatentValues } from './latent-store.ts';

export interface Convention extends Pick<LatentStore, 'space' | 'values' | 'isScaled'> {
  /** How it was told from others, for the user. */
  readonly told: string;
  /** What is probably wrong with the data. */
  readonly warning?: string;
}

/** Channel means and deviations of latents of pictures from 0 to 1 (EDM2, training/encoders.py). */
const EDM2_MEANS = [5.81, 3.25, 0.12, -2.15];
const EDM2_DEVIATIONS = [4.17, 4.62, 3.71, 3.28];

/** Means with deviations, or with logarithms of variances, as the autoencoder gave them. */
export function distributionConvention(statistics: LatentStatistics): Convention {
  const { means, deviations, hasNegativeSpread } = statistics;
  const values: LatentValues = hasNegativeSpread ? 'mean-logvar' : 'mean-std';
  const spread = hasNegativeSpread ? 'mean and log-variance' : 'mean and deviation';
  const shown = `channel means ${means.map((mean) => mean.toFixed(2)).join(' ')}`;
  if (means.length !== USUAL_CHANNELS) {
    const space = measuredSpace(statistics, USUAL_LATENTS.factor);
    return { values, isScaled: false, space, told: `${spread}; scaled by their own ${shown}` };
  }
  if (distance(means, EDM2_MEANS) < distance(means, [0, 0, 0, 0])) {
    const scale = EDM2_DEVIATIONS.map((deviation) => 1 / deviation);
    const space: LatentSpace = { ...USUAL_LATENTS, scale, shift: EDM2_MEANS, pictureRange: [0, 1] };
    return {
      values,
      isScaled: false,
      space,
      told: `${spread} of pictures from 0 to 1 (${shown}, as of EDM2)`,
    };
  }
  const told = `${spread} of pictures from −1 to 1 (${shown}, as of REPA)`;
  const looksScaled = Math.max(...deviations) < SCALED_BELOW;
  return {
    ...{ values, isScaled: looksScaled, told, space: USUAL_LATENTS },
    ...(looksScaled
      ? { warning: 'the means have a deviation of about 1, so they are taken to be scaled already' }
      : {}),
  };
}

const USUAL_CHANNELS = 4;
/** Between the deviation of scaled latents, 1, and that of others, 5.5: their geometric mean. */
const SCALED_BELOW = 2.3;
/** Between those of latents that were scaled once and twice. */
const SCALED_TWICE_BELOW = 0.43;

/** Latents drawn from their distributions and scaled by 0.18215. */
export function sampleConvention({ deviation, means }: LatentStatistics): Convention {
  const base = { values: 'samples', space: USUAL_LATENTS } as const;
  const told = `samples with a deviation of ${deviation.toFixed(2)}`;
  if (means.length !== USUAL_CHANNELS) return { ...base, isScaled: true, told: `${told}, taken as they are` };
  if (deviation >= SCALED_BELOW) {
    return {
      ...{ ...base, isScaled: false, told: `${told}, scaled by ${USUAL_LATENTS.scale} as they are read` },
      warning: `latents of this layout are scaled by ${USUAL_LATENTS.scale} already; these are not`,
    };
  }
  return {
    ...{ ...base, isScaled: true, told: `${told}, scaled by ${USUAL_LATENTS.scale} already` },
    ...(deviation < SCALED_TWICE_BELOW
      ? {
          warning: `their deviation is ${deviation.toFixed(2)}, not about 1: they may have been scaled twice`,
        }
      : {}),
  };
}

/** Channels brought to mean 0 and deviation 1. */
export function measuredSpace(
  { means, deviations }: Pick<LatentStatistics, 'means' | 'deviations'>,
  factor: number,
): LatentSpace {
  return {
    kind: 'latents',
    autoencoder: '',
    factor,
    scale: deviations.map((deviation) => (deviation > 0 ? 1 / deviation : 1)),
    shift: means,
  };
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.hypot(...a.map((value, i) => value - b[i]!));
}
