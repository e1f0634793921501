/** @file Data that is normal, of which the best prediction of a network is known in closed form. */

import type { Denoise } from '../../src/diffusion/denoise.ts';
import { FLOW_PATHS, type FlowPathName, levelAt, pathAt } from '../../src/diffusion/flow/path.ts';
import type { FlowPredictionName } from '../../src/diffusion/flow/prediction.ts';
import { add, div, mul, neg, reshape, square, sub } from '../../src/engine/graph/operators.ts';
import type { Tensor } from '../../src/engine/graph/tensor.ts';

export interface NormalData {
  readonly mean: number;
  readonly deviation: number;
}

/**
 * What the network of a flow would predict: with V = α² s² + σ², the variance of x, the score is −(x − αμ) / V, the noise
 * σ (x − αμ) / V, the data μ + α s² (x − αμ) / V, and the velocity follows from the last two.
 */
export function exactPrediction(
  { mean, deviation }: NormalData,
  path: FlowPathName,
  prediction: FlowPredictionName,
): Denoise {
  return (x, time) => {
    const t: Tensor = reshape(time, [time.shape[0]!, 1, 1, 1]);
    const { alpha, sigma, alphaRate, sigmaRate } = pathAt(FLOW_PATHS[path], t);
    const variance = add(mul(square(alpha), deviation ** 2), square(sigma));
    const distance = div(sub(x, mul(alpha, mean)), variance);
    if (prediction === 'score') return neg(distance);
    if (prediction === 'noise') return mul(sigma, distance);
    const data = add(mul(mul(alpha, deviation ** 2), distance), mean);
    return add(mul(data, alphaRate), mul(mul(sigma, distance), sigmaRate));
  };
}

/** The variance of x on its way from noise to the data. */
export function varianceAt({ deviation }: NormalData, path: FlowPathName, t: number): number {
  const { alpha, sigma } = levelAt(FLOW_PATHS[path], t);
  return (alpha * deviation) ** 2 + sigma ** 2;
}
