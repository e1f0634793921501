import { describe, expect, test } from 'vitest';
import { expectClose, type Tolerance } from '../../../test/support/closeness.ts';
import { ENGINES, readGaussianCases } from '../../../test/support/diffusion-fixtures.ts';
import { toNumbers } from '../../core/host-tensor.ts';
import { input } from '../../engine/graph/operators.ts';
import type { SamplerStep } from '../sampling-plan.ts';
import { addNoise, gaussianDiffusion, splitPrediction } from './gaussian.ts';
import { ddimCoefficients, ddimReverseCoefficients, ddimStep, ddpmStep } from './steps.ts';

/** The step at t = 999 backwards divides by tiny numbers; DDIM at t = 0 subtracts nearly equal ones. */
function toleranceOf(name: string, rounds: boolean): Tolerance {
  if (name === 'ddim_reverse') return { relative: 1e-4 };
  if (name.startsWith('ddim')) return { relative: 1e-5, absolute: 1e-4 };
  // Float32 itself is exact to 4e-5 near t = 999.
  return { relative: 1e-5, absolute: rounds ? 1e-5 : 4e-5 };
}

describe.each(ENGINES)('steps against the reference on $name', ({ run, rounds }) => {
  test.each(readGaussianCases())('$name', async ({ diffusion, feeds, recorded }) => {
    const leaf = (name: string) => input(name, feeds.get(name)!.shape, feeds.get(name)!.dtype);
    const [x0, noise, t, output] = [leaf('x_start'), leaf('noise'), leaf('t'), leaf('output')];
    const c = diffusion.coefficients.at(t);
    const xt = addNoise(c, x0, noise);
    const prediction = splitPrediction(diffusion, output, xt);
    const drawn = (name: string) => input(`${name}.noise`, x0.shape);
    const steps: Record<string, SamplerStep> = {};
    for (const clip of [false, true]) {
      const name = `p_sample_clip${clip ? 1 : 0}`;
      steps[name] = ddpmStep(diffusion, c, prediction, xt, drawn(name), { clip });
    }
    for (const eta of ['0.0', '0.5', '1.0']) {
      const name = `ddim_eta${eta}`;
      const table = ddimCoefficients(diffusion.tables, Number(eta));
      steps[name] = ddimStep(diffusion, table.at(t), prediction, xt, drawn(name), { clip: false });
    }
    const reverse = ddimReverseCoefficients(diffusion.tables).at(t);
    steps.ddim_reverse = ddimStep(diffusion, reverse, prediction, xt, undefined, { clip: false });

    const noises = Object.keys(steps)
      .filter((name) => name !== 'ddim_reverse')
      .map((name) => [`${name}.noise`, recorded(`${name}.noise`)] as const);
    const outputs = Object.fromEntries(Object.entries(steps).map(([name, { x }]) => [name, x]));
    const values = await run(outputs, new Map([...feeds, ...noises]));
    for (const [name, value] of values) {
      expectClose(value, toNumbers(recorded(`${name}.sample`)), toleranceOf(name, rounds));
    }
  });
});

test('DDIM with eta 1 adds as much noise as DDPM with the posterior variance', () => {
  const { tables } = gaussianDiffusion({ respacing: '20' });
  const table = ddimCoefficients(tables, 1);
  const column = table.names.indexOf('newNoiseWeight');
  tables.posteriorVariances.forEach((variance, step) => {
    expect(table.row(step).data[column]! ** 2).toBeCloseTo(variance, 6);
  });
});
