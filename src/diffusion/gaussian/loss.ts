/** @file Training losses of Gaussian diffusion and the terms of its variational bound. */
import {
  add,
  constant,
  less,
  mul,
  reshape,
  square,
  stopGradient,
  sub,
  where,
} from '../../engine/graph/operators.ts';
import type { Unlabelled } from '../../engine/graph/tensor.ts';
import type { Coefficients } from '../coefficients.ts';
import type { Denoise, Images, PerSample } from '../denoise.ts';
import { bitsPerDimension, discretizedLogLikelihood, gaussianKl, meanPerSample } from '../likelihood.ts';
import type { Loss } from '../objective.ts';
import {
  addNoise,
  type ClipOption,
  forwardMoments,
  type GaussianCoefficient,
  type GaussianDiffusion,
  networkTimes,
  type Prediction,
  posteriorMoments,
  reverseMoments,
  splitPrediction,
} from './gaussian.ts';

/**
 * The training loss at steps `t` (int64 [N]).
 *
 * For learned variances, `mse` adds the bound with its mean held constant, so that the bound trains the variances only
 * (Nichol & Dhariwal 2021, section 3.1). The reference adds it with weight 1, not the paper's 1/1000.
 */
export function gaussianLoss(
  diffusion: GaussianDiffusion,
  denoise: Denoise,
  x0: Images,
  noise: Images,
  t: PerSample,
): Loss {
  const { options, networkSteps } = diffusion;
  const c = diffusion.coefficients.at(t);
  const xt = addNoise(c, x0, noise);
  const prediction = splitPrediction(diffusion, denoise(xt, networkTimes(diffusion, t)), xt);
  const bound = (of: Prediction): Unlabelled => boundTermBits(diffusion, c, of, x0, xt, { clip: false }).bits;

  if (options.loss === 'kl' || options.loss === 'rescaled-kl') {
    const vb = mul(bound(prediction), options.loss === 'kl' ? 1 : networkSteps.length);
    return { perSample: vb, terms: { vb } };
  }
  const target = options.prediction === 'x0' ? x0 : noise;
  const mse = meanPerSample(square(sub(target, prediction.value)));
  if (prediction.varianceMix === undefined) return { perSample: mse, terms: { mse } };
  const vb = mul(
    bound({ ...prediction, value: stopGradient(prediction.value) }),
    options.loss === 'mse' ? 1 : networkSteps.length / 1000,
  );
  return { perSample: add(mse, vb), terms: { mse, vb } };
}

/**
 * One term of the variational bound, in bits per dimension [N]: KL(q(x_{t−1} | x_t, x_0) ‖ p(x_{t−1} | x_t)), and at
 * t = 0 the discretised negative log-likelihood of x_0 (Ho et al. 2020, eq. 5).
 */
export function boundTermBits(
  diffusion: GaussianDiffusion,
  c: Coefficients<GaussianCoefficient>,
  prediction: Prediction,
  x0: Images,
  xt: Images,
  clip: ClipOption,
): { readonly bits: Unlabelled; readonly x0: Unlabelled } {
  const reverse = reverseMoments(diffusion, c, prediction, xt, clip);
  const kl = bitsPerDimension(gaussianKl(posteriorMoments(c, x0, xt), reverse));
  const logScales = mul(reverse.logVariance, 0.5);
  const nll = mul(bitsPerDimension(discretizedLogLikelihood(x0, reverse.mean, logScales)), -1);
  const isFirst = reshape(less(c.noiseGate, 0.5), [c.noiseGate.shape[0]!]);
  return { bits: where(isFirst, nll, kl), x0: reverse.x0 };
}

/** The bound's constant term, KL(q(x_T | x_0) ‖ N(0, 1)), in bits per dimension [N]. */
export function priorBits({ coefficients }: GaussianDiffusion, x0: Images): Unlabelled {
  const last = coefficients.ofRows(constant(coefficients.row(coefficients.steps - 1)));
  return bitsPerDimension(gaussianKl(forwardMoments(last, x0), { mean: 0, logVariance: 0 }));
}
