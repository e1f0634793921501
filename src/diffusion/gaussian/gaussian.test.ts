import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { ENGINES, type GaussianCase, readGaussianCases } from '../../../test/support/diffusion-fixtures.ts';
import { toNumbers } from '../../core/host-tensor.ts';
import { broadcastTo, input } from '../../engine/graph/operators.ts';
import type { Tensor } from '../../engine/graph/tensor.ts';
import {
  addNoise,
  forwardMoments,
  type GaussianDiffusion,
  gaussianDiffusion,
  networkTimes,
  noiseFromX0,
  posteriorMoments,
  predictX0,
  reverseMoments,
  splitPrediction,
  x0FromNoise,
} from './gaussian.ts';

/** Near t = 999 an image is the difference of two numbers near 600, so float32 itself is exact to 4e-5 only. */
const toleranceOf = (rounds: boolean) => ({ relative: 1e-5, absolute: rounds ? 1e-5 : 4e-5 });

/** The recorded quantities that are built here, by the reference's names. */
function buildQuantities({ diffusion, feeds }: GaussianCase): Record<string, Tensor> {
  const leaf = (name: string) => input(name, feeds.get(name)!.shape, feeds.get(name)!.dtype);
  const [x0, noise, t, output] = [leaf('x_start'), leaf('noise'), leaf('t'), leaf('output')];
  const c = diffusion.coefficients.at(t);
  const xt = addNoise(c, x0, noise);
  const forward = forwardMoments(c, x0);
  const posterior = posteriorMoments(c, x0, xt);
  const prediction = splitPrediction(diffusion, output, xt);
  const quantities: Record<string, Tensor> = {
    net_timesteps: networkTimes(diffusion, t),
    x_t: xt,
    q_mean: forward.mean,
    q_var: forward.variance,
    q_logvar: forward.logVariance,
    post_mean: posterior.mean,
    post_var: posterior.variance,
    post_logvar: posterior.logVariance,
  };
  for (const clip of [false, true]) {
    const reverse = reverseMoments(diffusion, c, prediction, xt, { clip });
    const prefix = `pmv_clip${clip ? 1 : 0}`;
    quantities[`${prefix}.mean`] = reverse.mean;
    quantities[`${prefix}.variance`] = broadcastTo(reverse.variance, xt.shape);
    quantities[`${prefix}.log_variance`] = broadcastTo(reverse.logVariance, xt.shape);
    quantities[`${prefix}.pred_xstart`] = reverse.x0;
  }
  return quantities;
}

describe.each(ENGINES)('moments against the reference on $name', ({ run, rounds }) => {
  test.each(readGaussianCases())('$name', async (recordedCase) => {
    const quantities = buildQuantities(recordedCase);
    const values = await run(quantities, recordedCase.feeds);
    expect(values.size).toBe(16);
    for (const [name, value] of values) {
      expectClose(value, toNumbers(recordedCase.recorded(name)), toleranceOf(rounds));
    }
  });
});

test('noise and image convert into each other', async () => {
  const diffusion = gaussianDiffusion();
  const xt = input('xt', [2, 1, 1, 3]);
  const noise = input('noise', [2, 1, 1, 3]);
  const c = diffusion.coefficients.at(input('t', [2], 'i64'));
  const [{ run }] = ENGINES as [(typeof ENGINES)[0]];
  const given = [-1, 0.5, 2, 0.1, -3, 0];
  const values = await run(
    { back: noiseFromX0(c, xt, x0FromNoise(c, xt, noise)) },
    new Map([
      ['xt', { dtype: 'f64', shape: [2, 1, 1, 3], data: Float64Array.of(1, 2, 3, 4, 5, 6) }],
      ['noise', { dtype: 'f64', shape: [2, 1, 1, 3], data: Float64Array.from(given) }],
      ['t', { dtype: 'i64', shape: [2], data: BigInt64Array.of(3n, 900n) }],
    ]),
  );
  expectClose(values.get('back')!, given, { relative: 1e-12 });
});

describe('splitPrediction', () => {
  const x = input('x', [2, 4, 8, 8]);
  const split = (diffusion: GaussianDiffusion, channels: number) => () =>
    splitPrediction(diffusion, input('output', [2, channels, 8, 8]), x);

  test('gives the variances where they are learned', () => {
    const prediction = split(gaussianDiffusion(), 8)();
    expect(prediction.value.shape).toEqual([2, 4, 8, 8]);
    expect(prediction.varianceMix?.shape).toEqual([2, 4, 8, 8]);
    expect(split(gaussianDiffusion({ variance: 'fixed-small' }), 4)().varianceMix).toBeUndefined();
  });

  test('refuses a network of the wrong width', () => {
    expect(split(gaussianDiffusion(), 4)).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: splitPrediction: the network gives [2,4,8,8], variance "learned-range" needs [2,8,8,8]
        fix: build the model with learned variances, or use variance "fixed-large"]
    `);
    expect(split(gaussianDiffusion({ variance: 'fixed-large' }), 8)).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: splitPrediction: the network gives [2,8,8,8], variance "fixed-large" needs [2,4,8,8]
        fix: build the model without learned variances, or use variance "learned-range"]
    `);
  });
});

test('a clipped prediction lies in the range of pixels', async () => {
  const diffusion = gaussianDiffusion({ variance: 'fixed-large' });
  const [recordedCase] = readGaussianCases().filter(({ name }) => name === 'fixed_large');
  const { feeds } = recordedCase!;
  const xt = input('x_start', [6, 4, 8, 8]);
  const c = diffusion.coefficients.at(input('t', [6], 'i64'));
  const prediction = { value: input('output', [6, 4, 8, 8]) };
  const [{ run }] = ENGINES as [(typeof ENGINES)[0]];
  const outputs = {
    free: predictX0(diffusion, c, prediction, xt, { clip: false }),
    clipped: predictX0(diffusion, c, prediction, xt, { clip: true }),
  };
  const values = await run(outputs, feeds);
  const largest = (name: string): number => Math.max(...Array.from(values.get(name)!, Math.abs));
  expect(largest('free')).toBeGreaterThan(1);
  expect(largest('clipped')).toBe(1);
});
