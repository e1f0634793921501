/**
 * @file What a network may predict of a flow, and how each says what the others would be. The velocity, the noise and
 * the data in x = α data + σ noise follow from any one of them; the score is −noise / σ. Where α or σ is 0, at an end
 * of the path, some do not follow from others: `trainingInterval` and `samplingInterval` of `flow.ts` keep away.
 */
import { add, div, mul, neg, square, sub } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import type { Images } from '../denoise.ts';
import { noisingRate, type PathPoint } from './path.ts';

export type FlowPredictionName = 'velocity' | 'noise' | 'score';

/** A network's output at `x`, and the point of the path that x lies at. */
export interface FlowPrediction {
  readonly name: FlowPredictionName;
  readonly output: Images;
  readonly x: Images;
  readonly point: PathPoint<Tensor>;
}

/** dx/dt of the ODE that carries noise to data. */
export function predictVelocity({ name, output, x, point }: FlowPrediction): Unlabelled {
  const { sigma, sigmaRate, logAlphaRate } = point;
  if (name === 'velocity') return output as Unlabelled;
  if (name === 'score') return add(mul(logAlphaRate, x), mul(noisingRate(point), output));
  return add(mul(logAlphaRate, x), mul(sub(sigmaRate, mul(sigma, logAlphaRate)), output));
}

export function predictNoise({ name, output, x, point }: FlowPrediction): Unlabelled {
  const { alpha, sigma, alphaRate, sigmaRate } = point;
  if (name === 'noise') return output as Unlabelled;
  if (name === 'score') return neg(mul(sigma, output));
  return div(sub(mul(alpha, output), mul(alphaRate, x)), sub(mul(alpha, sigmaRate), mul(sigma, alphaRate)));
}

/** The gradient of the log-density of x at its time. */
export function predictScore(prediction: FlowPrediction): Unlabelled {
  if (prediction.name === 'score') return prediction.output as Unlabelled;
  return neg(div(predictNoise(prediction), prediction.point.sigma));
}

/** The finished images that the network sees in x. */
export function predictData({ name, output, x, point }: FlowPrediction): Unlabelled {
  const { alpha, sigma, alphaRate, sigmaRate } = point;
  if (name === 'noise') return div(sub(x, mul(sigma, output)), alpha);
  if (name === 'score') return div(add(x, mul(square(sigma), output)), alpha);
  return div(sub(mul(sigmaRate, x), mul(sigma, output)), sub(mul(sigmaRate, alpha), mul(sigma, alphaRate)));
}
