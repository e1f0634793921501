/** @file The latents of a picture as a variational encoder gives them: normally distributed, each number by itself. */
import { sizeOf } from '../../core/shape.ts';
import { add, clamp, exp, mul, square, sub, sum } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';

/** N(mean, exp(logVariance)), both [N, Z, H, W]; without a variance the latent is certain. */
export interface LatentDistribution {
  readonly mean: Unlabelled;
  readonly logVariance?: Unlabelled;
}

/** Bounds of a log-variance, as in the reference: a deviation lies between 3e-7 and 2.2e4. */
const LOG_VARIANCE_BOUNDS = [-30, 20] as const;

export function boundedLogVariance(logVariance: Tensor): Unlabelled {
  return clamp(logVariance, ...LOG_VARIANCE_BOUNDS);
}

/** exp(logVariance / 2). */
export function deviationOf(logVariance: Tensor): Unlabelled {
  return exp(mul(logVariance, 0.5));
}

/** mean + deviation · noise, with standard normal noise [N, Z, H, W]; the mean where the latent is certain. */
export function sampleLatents({ mean, logVariance }: LatentDistribution, noise: Tensor): Unlabelled {
  return logVariance === undefined ? mean : add(mean, mul(deviationOf(logVariance), noise));
}

/** KL(N(mean, exp(logVariance)) ‖ N(0, 1)) in nats, summed over each latent: [N] (Kingma & Welling 2014, appendix B). */
export function klToStandardNormal(mean: Tensor, logVariance: Tensor): Unlabelled {
  const axes = mean.shape.map((_, axis) => axis).slice(1);
  const doubled = sub(add(square(mean), exp(logVariance)), logVariance);
  return mul(sub(sum(doubled, axes), sizeOf(mean.shape.slice(1))), 0.5);
}
