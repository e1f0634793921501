/** @file Gaussian diffusion as a training objective. */
import { tensorOf } from '../../core/host-tensor.ts';
import { randomIntegers } from '../../core/random.ts';
import type { Objective } from '../objective.ts';
import { type GaussianDiffusion, type GaussianOptions, gaussianDiffusion } from './gaussian.ts';
import { gaussianLoss } from './loss.ts';

export interface GaussianObjective extends Objective<'i64'> {
  readonly kind: 'gaussian';
  readonly diffusion: GaussianDiffusion;
}

/** Steps are drawn uniformly. Options that are not given are the reference's. */
export function gaussianObjective(options: Partial<GaussianOptions> = {}): GaussianObjective {
  const diffusion = gaussianDiffusion(options);
  const steps = diffusion.networkSteps.length;
  return {
    kind: 'gaussian',
    diffusion,
    timeType: 'i64',
    outputsPerChannel: diffusion.options.variance === 'learned-range' ? 2 : 1,
    sampleTimes: (key, count) => tensorOf('i64', [count], randomIntegers(key, count, steps)),
    evaluationTimes: (count) =>
      tensorOf(
        'i64',
        [count],
        Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * steps) / count)),
      ),
    buildLoss: (denoise, x0, noise, t) => gaussianLoss(diffusion, denoise, x0, noise, t),
  };
}
