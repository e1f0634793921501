/** @file Log-likelihoods and divergences of diagonal Gaussians, elementwise, in nats. */
import {
  add,
  div,
  exp,
  less,
  log,
  maximum,
  mean,
  mul,
  type Operand,
  square,
  sub,
  tanh,
  where,
} from '../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../engine/graph/tensor.ts';

/** Mean and log-variance of a Gaussian; they broadcast against each other. */
export interface LogGaussian {
  readonly mean: Operand;
  readonly logVariance: Operand;
}

/** KL(p ‖ q) = ½ (−1 + log σ_q² − log σ_p² + σ_p² / σ_q² + (μ_p − μ_q)² / σ_q²). */
export function gaussianKl(p: LogGaussian, q: LogGaussian): Unlabelled {
  const logRatio = sub(p.logVariance, q.logVariance);
  const distance = mul(square(sub(p.mean, q.mean)), exp(mul(q.logVariance, -1)));
  return mul(add(sub(sub(exp(logRatio), logRatio), 1), distance), 0.5);
}

/** Φ(x) by the tanh approximation of GELU (Hendrycks & Gimpel 2016), as the reference does. */
export function approximateNormalCdf(x: Tensor): Unlabelled {
  const inner = mul(add(x, mul(mul(square(x), x), 0.044715)), Math.sqrt(2 / Math.PI));
  return mul(add(tanh(inner), 1), 0.5);
}

/** Half a grey level of 8 bits on [−1, 1]. */
const HALF_BIN = 1 / 255;
/** Beyond this a value counts as the first or last grey level, whose bin extends to infinity. */
const EDGE = 0.999;
const SMALLEST_PROBABILITY = 1e-12;

/**
 * Log-probability of `x`, seen as 8-bit grey levels on [−1, 1], under a Gaussian integrated over each level's bin
 * (Ho et al. 2020, eq. 13). Applied to latents as the reference applies it, though these have no levels.
 */
export function discretizedLogLikelihood(x: Tensor, means: Tensor, logScales: Tensor): Unlabelled {
  const centred = sub(x, means);
  const inverseScale = exp(mul(logScales, -1));
  const cdfAbove = approximateNormalCdf(mul(inverseScale, add(centred, HALF_BIN)));
  const cdfBelow = approximateNormalCdf(mul(inverseScale, sub(centred, HALF_BIN)));
  const safeLog = (probability: Tensor): Unlabelled => log(maximum(probability, SMALLEST_PROBABILITY));
  return where(
    less(x, -EDGE),
    safeLog(cdfAbove),
    where(less(EDGE, x), safeLog(sub(1, cdfBelow)), safeLog(sub(cdfAbove, cdfBelow))),
  );
}

/** Mean over everything but the batch: [N, …] → [N]. */
export function meanPerSample(x: Tensor): Unlabelled {
  return mean(
    x,
    x.shape.slice(1).map((_, i) => i + 1),
  );
}

/** Mean per dimension of [N, …], from nats to bits: [N]. */
export function bitsPerDimension(nats: Tensor): Unlabelled {
  return div(meanPerSample(nats), Math.LN2);
}
