/** @file Data that is normal, of which the best prediction of a network is known in closed form. */

import { type HostTensor, tensorOf } from '../../src/core/host-tensor.ts';
import type { Denoise } from '../../src/diffusion/denoise.ts';
import { FLOW_PATHS, type FlowPathName, levelAt, pathAt } from '../../src/diffusion/flow/path.ts';
import type { FlowPredictionName } from '../../src/diffusion/flow/prediction.ts';
import { gaussianDiffusion } from '../../src/diffusion/gaussian/gaussian.ts';
import type { SamplingPlan } from '../../src/diffusion/sampling-plan.ts';
import { graphOf } from '../../src/engine/graph/graph.ts';
import {
  add,
  cast,
  constant,
  div,
  input,
  mul,
  neg,
  reshape,
  square,
  sub,
  takeRows,
} from '../../src/engine/graph/operators.ts';
import type { Tensor } from '../../src/engine/graph/tensor.ts';
import { evaluate } from '../../src/engine/interp/evaluate.ts';

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

/** E[noise | x_t] = √(1 − ᾱ) (x − √ᾱ μ) / (ᾱ s² + 1 − ᾱ). */
export function exactNoise({ mean, deviation }: NormalData, { tables } = gaussianDiffusion()): Denoise {
  const lookUp = (time: Tensor, coefficient: (alphaBar: number) => number): Tensor => {
    const alphaBars = tables.alphaBars.map(coefficient);
    const table = constant(tensorOf('f32', [alphaBars.length], alphaBars));
    return reshape(takeRows(table, cast(time, 'i64')), [time.shape[0]!, 1, 1, 1]);
  };
  return (x, time) => {
    const centred = sub(
      x,
      lookUp(time, (alphaBar) => Math.sqrt(alphaBar) * mean),
    );
    const weight = lookUp(
      time,
      (alphaBar) => Math.sqrt(1 - alphaBar) / (alphaBar * deviation ** 2 + 1 - alphaBar),
    );
    return mul(weight, centred);
  };
}

const STANDARD_NORMAL: NormalData = { mean: 0, deviation: 1 };

/**
 * Mean and deviation of the samples that a plan draws. Every step is linear, x′ = a x + b + c noise: probes read a, b and
 * c off, and mean and variance then follow exactly.
 *
 * @param start - what drawing begins with
 */
export function sampledData(
  plan: SamplingPlan,
  denoise: Denoise,
  start: NormalData = STANDARD_NORMAL,
): NormalData {
  const carried = ['x', ...plan.memory];
  const probes = [carried.length + 2, 1, 1, 1];
  const { x, memory } = plan.build(denoise, input('x', probes), input('noise', probes));
  const graph = graphOf({ x, ...memory });
  // Of the probes the first is nothing at all, the others have 1 in one place.
  const common = [...carried, 'noise'].map((name, i): [string, HostTensor] => [
    name,
    tensorOf('f64', probes, oneHot(probes[0]!, i + 1)),
  ]);
  let means = carried.map((_, i) => (i === 0 ? start.mean : 0));
  let covariance = carried.map((_, i) =>
    carried.map((__, j) => (i === 0 && j === 0 ? start.deviation ** 2 : 0)),
  );
  for (const feeds of plan.steps) {
    const values = evaluate(graph, new Map([...common, ...feeds]));
    const offsets = carried.map((name) => values.get(name)!.data[0]!);
    const slopes = carried.map((name, i) =>
      Array.from(values.get(name)!.data.subarray(1), (value) => value - offsets[i]!),
    );
    means = slopes.map((slope, i) => offsets[i]! + dot(slope, means));
    // The last slope is that of the noise, whose variance is 1.
    const withNoise = [...covariance.map((row) => [...row, 0]), [...carried.map(() => 0), 1]];
    covariance = slopes.map((a) =>
      slopes.map((b) =>
        dot(
          a,
          withNoise.map((row) => dot(row, b)),
        ),
      ),
    );
  }
  return { mean: means[0]!, deviation: Math.sqrt(covariance[0]![0]!) };
}

function oneHot(length: number, place: number): number[] {
  return Array.from({ length }, (_, i) => (i === place ? 1 : 0));
}

/** Of as many numbers as the second has. */
function dot(a: readonly number[], b: readonly number[]): number {
  return b.reduce((sum, value, i) => sum + value * a[i]!, 0);
}
