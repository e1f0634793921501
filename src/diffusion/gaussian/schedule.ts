/** @file Noise schedules of Gaussian diffusion: the variances β that are added at each step, in float64. */
import { ConfigError } from '../../core/errors.ts';

/** `linear`: Ho et al. 2020. `cosine`: Nichol & Dhariwal 2021 (`squaredcos_cap_v2` in the reference). */
export type ScheduleName = 'linear' | 'cosine';

const SCHEDULES: Readonly<Record<ScheduleName, (steps: number) => Float64Array>> = {
  linear: linearBetas,
  cosine: cosineBetas,
};

/**
 * β of every step, from the least noisy one on.
 *
 * @throws ConfigError if `steps` is not a positive integer
 */
export function noiseSchedule(name: ScheduleName, steps: number): Float64Array {
  if (!Number.isInteger(steps) || steps < 1) {
    throw new ConfigError({
      where: 'noiseSchedule',
      problem: `${steps} diffusion steps: a positive integer is needed`,
      fix: 'the reference trains with 1000 steps',
    });
  }
  return SCHEDULES[name](steps);
}

/** 1e-4 … 0.02 at 1000 steps; scaled by 1000 / steps otherwise, so that all of the signal is destroyed. */
function linearBetas(steps: number): Float64Array {
  const scale = 1000 / steps;
  const first = scale * 1e-4;
  const last = scale * 0.02;
  if (steps === 1) return Float64Array.of(first);
  const stride = (last - first) / (steps - 1);
  const betas = Float64Array.from({ length: steps }, (_, i) => i * stride + first);
  betas[steps - 1] = last;
  return betas;
}

/** ᾱ(s) = cos²((s + 0.008) / 1.008 · π/2), each β capped at 0.999 (Nichol & Dhariwal 2021, eq. 17). */
function cosineBetas(steps: number): Float64Array {
  const alphaBar = (s: number): number => Math.cos((((s + 0.008) / 1.008) * Math.PI) / 2) ** 2;
  return Float64Array.from({ length: steps }, (_, i) =>
    Math.min(1 - alphaBar((i + 1) / steps) / alphaBar(i / steps), 0.999),
  );
}

/** ᾱ, the cumulative products of 1 − β: the share of the signal's variance that is left after each step. */
export function cumulativeAlphas(betas: Float64Array): Float64Array {
  let product = 1;
  return betas.map((beta) => {
    product *= 1 - beta;
    return product;
  });
}
