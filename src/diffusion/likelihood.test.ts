import { describe, expect, test } from 'vitest';
import { expectClose } from '../../test/support/closeness.ts';
import { ENGINES, readTensors } from '../../test/support/diffusion-fixtures.ts';
import { tensorOf, toNumbers } from '../core/host-tensor.ts';
import { input, reverse } from '../engine/graph/operators.ts';
import {
  approximateNormalCdf,
  bitsPerDimension,
  discretizedLogLikelihood,
  gaussianKl,
  meanPerSample,
} from './likelihood.ts';

const [float64] = ENGINES as [(typeof ENGINES)[0]];

describe.each(ENGINES)('against the reference on $name', ({ run }) => {
  const recorded = readTensors('steps_and_losses');
  const leaf = (name: string) => input(name, recorded.get(name)!.shape);

  test('normal distribution function', async () => {
    const values = await run({ cdf: approximateNormalCdf(leaf('cdf.x')) }, recorded);
    expectClose(values.get('cdf')!, toNumbers(recorded.get('cdf.out')!), { relative: 1e-6 });
  });

  test('discretised log-likelihood, at the edges too', async () => {
    const likelihood = discretizedLogLikelihood(leaf('dgll.x'), leaf('dgll.means'), leaf('dgll.log_scales'));
    const values = await run({ likelihood }, recorded);
    const [actual, expected] = [values.get('likelihood')!, toNumbers(recorded.get('dgll.out')!)];
    // Small probabilities are differences of numbers near 1, of which float32 keeps 1e-7: logarithms of such are noise.
    expectClose(Array.from(actual, Math.exp), Array.from(expected, Math.exp), { relative: 2e-7 });
    const likely = Array.from(expected, (_, i) => i).filter((i) => expected[i]! > -6);
    expect(likely.length).toBeGreaterThan(20);
    expectClose(
      likely.map((i) => actual[i]!),
      likely.map((i) => expected[i]!),
      { relative: 1e-4 },
    );
  });

  test('divergence of Gaussians', async () => {
    const [mean, logVariance] = [leaf('dgll.means'), leaf('dgll.log_scales')];
    const other = { mean: reverse(mean, [0]), logVariance: reverse(logVariance, [0]) };
    const values = await run({ kl: gaussianKl({ mean, logVariance }, other) }, recorded);
    expectClose(values.get('kl')!, toNumbers(recorded.get('kl.out')!), { relative: 1e-6 });
  });
});

test('a Gaussian does not diverge from itself', async () => {
  const itself = { mean: input('mean', [2]), logVariance: input('logVariance', [2]) };
  const feeds = new Map([
    ['mean', tensorOf('f64', [2], [3, -1])],
    ['logVariance', tensorOf('f64', [2], [-2, 5])],
  ]);
  const values = await float64.run({ kl: gaussianKl(itself, itself) }, feeds);
  expect(Array.from(values.get('kl')!)).toEqual([0, 0]);
});

test('the grey levels of a pixel have probabilities that sum to 1', async () => {
  const levels = Array.from({ length: 256 }, (_, level) => (level - 127.5) / 127.5);
  const likelihood = discretizedLogLikelihood(input('x', [256]), input('mean', []), input('logScale', []));
  const feeds = new Map([
    ['x', tensorOf('f64', [256], levels)],
    ['mean', tensorOf('f64', [], [0.9])],
    ['logScale', tensorOf('f64', [], [Math.log(0.3)])],
  ]);
  const values = await float64.run({ likelihood }, feeds);
  const total = Array.from(values.get('likelihood')!, Math.exp).reduce((sum, p) => sum + p, 0);
  expect(total).toBeCloseTo(1, 6);
});

test('means are taken per sample, bits are nats over ln 2', async () => {
  const x = input('x', [2, 1, 2, 2]);
  const feeds = new Map([['x', tensorOf('f64', [2, 1, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8])]]);
  const values = await float64.run({ mean: meanPerSample(x), bits: bitsPerDimension(x) }, feeds);
  expect(Array.from(values.get('mean')!)).toEqual([2.5, 6.5]);
  expectClose(values.get('bits')!, [2.5 / Math.LN2, 6.5 / Math.LN2], { relative: 1e-6 });
});
