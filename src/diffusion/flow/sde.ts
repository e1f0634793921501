/**
 * @file Drawing from a flow as from an SDE (Ma et al. 2024, section 2.2): dx = (v + w score) dt + √(2w) noise has the
 * marginals of the ODE for every w(t) ≥ 0, which is how much is renewed on the way. w is the reference's; the paper
 * writes w for twice as much.
 */
import { add, mul } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import type { Coefficients } from '../coefficients.ts';
import type { Images } from '../denoise.ts';
import { type FlowPath, levelAt, noisingRateAt } from './path.ts';
import { type FlowPrediction, predictData, predictScore, predictVelocity } from './prediction.ts';

/** w(t) at norm 1. `sbdm` is the path's own g, which is infinite where the path begins with noise alone. */
export type DiffusionForm = 'constant' | 'sbdm' | 'sigma' | 'linear' | 'decreasing' | 'increasing-decreasing';

type FormAt = (norm: number, path: FlowPath, t: number) => number;

export const DIFFUSION_FORMS: Readonly<Record<DiffusionForm, FormAt>> = {
  constant: (norm) => norm,
  sbdm: (norm, path, t) => norm * noisingRateAt(levelAt(path, t)),
  sigma: (norm, path, t) => norm * levelAt(path, t).sigma,
  linear: (norm, _, t) => norm * (1 - t),
  decreasing: (norm, _, t) => 0.25 * (norm * Math.cos(Math.PI * t) + 1) ** 2,
  'increasing-decreasing': (norm, _, t) => norm * Math.sin(Math.PI * t) ** 2,
};

/**
 * How the way ends, `lastStepSize` before the data: with a step of the SDE without its noise, at the data that the
 * network sees (Tweedie's formula), with a step of the ODE; or not at all, with steps of the SDE up to the end.
 */
export const LAST_STEPS = ['none', 'mean', 'tweedie', 'euler'] as const;
export type LastStep = (typeof LAST_STEPS)[number];

export type SdeMethod = 'sde-euler' | 'sde-heun';

/**
 * What a step makes of the images: with x̂ = x + newNoise · noise it is
 *
 *     kept x̂ + velocity v(x̂, t) + score s(x̂, t)                                             (Euler–Maruyama)
 *       + nextVelocity v(x̃, t′) + nextScore s(x̃, t′), x̃ = x̂ + ahead (v(x̂, t) + diffusion s(x̂, t))     (Heun)
 *
 * so that one graph serves the last step too. Euler–Maruyama asks the network before it adds the noise.
 */
export type SdeWeight =
  | 'kept'
  | 'velocity'
  | 'score'
  | 'newNoise'
  | 'ahead'
  | 'diffusion'
  | 'nextVelocity'
  | 'nextScore';

type Weights = Record<SdeWeight, number>;

/** @param diffusionAt - w(t) */
export function sdeWeights(
  method: SdeMethod,
  diffusionAt: (t: number) => number,
  time: number,
  nextTime: number,
): Weights {
  const duration = nextTime - time;
  const diffusion = diffusionAt(time);
  const isHeun = method === 'sde-heun';
  const share = isHeun ? duration / 2 : duration;
  return {
    kept: 1,
    velocity: share,
    score: share * diffusion,
    newNoise: Math.sqrt(2 * diffusion * duration),
    ahead: duration,
    diffusion,
    nextVelocity: isHeun ? share : 0,
    nextScore: isHeun ? share * diffusionAt(nextTime) : 0,
  };
}

/** The last step, from `time` over `duration`. */
export function lastStepWeights(
  lastStep: Exclude<LastStep, 'none'>,
  path: FlowPath,
  diffusion: number,
  time: number,
  duration: number,
): Weights {
  const { alpha, sigma } = levelAt(path, time);
  const none = { newNoise: 0, ahead: 0, diffusion: 0, nextVelocity: 0, nextScore: 0 };
  if (lastStep === 'tweedie') return { ...none, kept: 1 / alpha, velocity: 0, score: sigma ** 2 / alpha };
  return { ...none, kept: 1, velocity: duration, score: lastStep === 'mean' ? duration * diffusion : 0 };
}

/** Times at which a step begins and ends, float32 scalars, and what it weighs its parts with. */
export interface SdeStep {
  readonly time: Tensor;
  readonly nextTime: Tensor;
  readonly weights: Coefficients<SdeWeight>;
}

export function sdeStep(
  method: SdeMethod,
  predict: (x: Images, time: Tensor) => FlowPrediction,
  x: Images,
  noise: Images,
  { time, nextTime, weights: c }: SdeStep,
): { readonly x: Unlabelled; readonly x0: Unlabelled } {
  const renewed = mul(c.newNoise, noise);
  const from = method === 'sde-heun' ? add(x, renewed) : x;
  const prediction = predict(from, time);
  const [velocity, score] = [predictVelocity(prediction), predictScore(prediction)];
  const mean = sum(mul(c.kept, from), mul(c.velocity, velocity), mul(c.score, score));
  const x0 = predictData(prediction);
  if (method === 'sde-euler') return { x: add(mean, renewed), x0 };
  const ahead = add(from, mul(c.ahead, add(velocity, mul(c.diffusion, score))));
  const next = predict(ahead, nextTime);
  return {
    x: sum(mean, mul(c.nextVelocity, predictVelocity(next)), mul(c.nextScore, predictScore(next))),
    x0,
  };
}

function sum(...terms: readonly Unlabelled[]): Unlabelled {
  return terms.reduce((total, term) => add(total, term));
}
