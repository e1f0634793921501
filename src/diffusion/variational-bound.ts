/**
 * @file The variational bound on the negative log-likelihood of 8-bit pictures, in bits per dimension, of either kind of
 * model: its value at one time, such that the mean over evenly spread times is the bound.
 */
import { tensorOf } from '../core/host-tensor.ts';
import { add, constantOf, div, mul, reshape, square, sub } from '../engine/graph/operators.ts';
import type { Unlabelled } from '../engine/graph/tensor.ts';
import type { Denoise, Images, PerSample } from './denoise.ts';
import type { FlowOptions } from './flow/flow.ts';
import type { FlowObjective } from './flow/objective.ts';
import { FLOW_PATHS, type FlowPath, interpolate, levelAt, pathAt } from './flow/path.ts';
import { predictData } from './flow/prediction.ts';
import { addNoise, type GaussianDiffusion, networkTimes, splitPrediction } from './gaussian/gaussian.ts';
import { boundTermBits, priorBits } from './gaussian/loss.ts';
import type { GaussianObjective } from './gaussian/objective.ts';
import { bitsPerDimension, discretizedLogLikelihood, gaussianKl } from './likelihood.ts';
import type { MeasuredObjective } from './objective.ts';

/** For pixels in [−1, 1] that have 256 levels; of latents it is no likelihood. */
export function variationalBound(objective: FlowObjective | GaussianObjective): MeasuredObjective {
  if (objective.kind === 'flow') return flowBound(objective.options);
  const { timeType, evaluationTimes, diffusion } = objective;
  return {
    timeType,
    evaluationTimes,
    buildLoss: (denoise, x0, noise, t) => ({
      perSample: gaussianBound(diffusion, denoise, x0, noise, t),
      terms: {},
    }),
  };
}

/** T · L_t + L_T, where L_t is the term of step t (Ho et al. 2020, eq. 5); predicted pictures are clipped, as DiT's are. */
function gaussianBound(
  diffusion: GaussianDiffusion,
  denoise: Denoise,
  x0: Images,
  noise: Images,
  t: PerSample,
): Unlabelled {
  const c = diffusion.coefficients.at(t);
  const xt = addNoise(c, x0, noise);
  const prediction = splitPrediction(diffusion, denoise(xt, networkTimes(diffusion, t)), xt);
  const { bits } = boundTermBits(diffusion, c, prediction, x0, xt, { clip: true });
  return add(mul(bits, diffusion.networkSteps.length), priorBits(diffusion, x0));
}

/** Signal-to-noise ratios α/σ between which a flow is followed: from nearly noise to noise of half a grey level. */
const FIRST_RATIO = 0.01;
const LAST_RATIO = 255;

/**
 * A flow's prediction of the data makes it a diffusion in continuous time, whose bound depends on the path through
 * SNR = (α/σ)² alone (Kingma et al. 2021, section 4). With λ = log SNR it is
 *
 *   ½ ∫ SNR |x_0 − x̂(x_λ, λ)|² dλ  +  KL(q(x_first | x_0) ‖ N(0, 1))  −  log p(x_0 | x_last),
 *
 * the last a Gaussian around x_last / α with deviation σ/α, integrated over each grey level.
 */
function flowBound(options: FlowOptions): MeasuredObjective {
  const path = FLOW_PATHS[options.path];
  const range = 2 * Math.log(LAST_RATIO / FIRST_RATIO); // of λ
  return {
    timeType: 'f32',
    evaluationTimes: (count) => {
      const ratios = Array.from(
        { length: count },
        (_, i) => FIRST_RATIO * (LAST_RATIO / FIRST_RATIO) ** ((i + 0.5) / count),
      );
      return tensorOf(
        'f32',
        [count],
        ratios.map((ratio) => timeOfRatio(path, ratio)),
      );
    },
    buildLoss: (denoise, x0, noise, t) => {
      const perImage = reshape(t, [t.shape[0]!, 1, 1, 1]);
      const x = interpolate(path, x0, noise, perImage);
      const point = pathAt(path, perImage);
      const output = denoise(x, mul(t, options.timeScale));
      const error = square(sub(x0, predictData({ name: options.prediction, output, x, point })));
      const signalToNoise = square(div(point.alpha, point.sigma));
      const diffusion = mul(bitsPerDimension(mul(error, signalToNoise)), range / 2);
      return { perSample: add(diffusion, endBits(path, x0, noise)), terms: {} };
    },
  };
}

/** What both ends of the flow add: prior and pixels. */
function endBits(path: FlowPath, x0: Images, noise: Images): Unlabelled {
  const { alpha, sigma } = levelAt(path, timeOfRatio(path, FIRST_RATIO));
  const first = { mean: mul(x0, alpha), logVariance: 2 * Math.log(sigma) };
  const prior = bitsPerDimension(gaussianKl(first, { mean: 0, logVariance: 0 }));
  const deviation = 1 / LAST_RATIO;
  const logScale = constantOf([1, 1, 1, 1], [Math.log(deviation)]);
  const pixels = bitsPerDimension(discretizedLogLikelihood(x0, add(x0, mul(noise, deviation)), logScale));
  return sub(prior, pixels);
}

/** The time at which α/σ has a value; it grows with time. */
function timeOfRatio(path: FlowPath, ratio: number): number {
  let [early, late] = [0, 1];
  for (let i = 0; i < 60; i++) {
    const middle = (early + late) / 2;
    const { alpha, sigma } = levelAt(path, middle);
    if (alpha < ratio * sigma) early = middle;
    else late = middle;
  }
  return (early + late) / 2;
}
