import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { ENGINES } from '../../../test/support/diffusion-fixtures.ts';
import { tensorOf } from '../../core/host-tensor.ts';
import { input } from '../../engine/graph/operators.ts';
import { CoefficientTable } from '../coefficients.ts';
import {
  dpmSolverColumns,
  dpmSolverStep,
  dpmSolverWeights,
  type NoiseLevel,
  PURE_DATA,
} from './dpm-solver.ts';

const PURE_NOISE: NoiseLevel = { alpha: 0, sigma: 1 };
// λ rises by h = log 16/9, so e^(−h) = 9/16; it rose by as much before.
const previous: NoiseLevel = { alpha: (3 / 4) * (9 / 16), sigma: 1 };
const from: NoiseLevel = { alpha: 0.6, sigma: 0.8 };
const to: NoiseLevel = { alpha: 0.8, sigma: 0.6 };

function expectWeights(weights: Record<string, number>, expected: Record<string, number>): void {
  expect(Object.keys(weights)).toEqual(Object.keys(expected));
  expectClose(Object.values(weights), Object.values(expected), { relative: 1e-14 });
}

describe('weights of a step', () => {
  test('the first is of first order', () => {
    expectWeights(dpmSolverWeights({ previous: undefined, from, to }, 0), {
      xWeight: 3 / 4,
      x0Weight: 0.8 * (7 / 16),
      previousX0Weight: 0,
      noiseWeight: 0,
    });
  });

  test('the next ones extrapolate to the middle of the step', () => {
    expectWeights(dpmSolverWeights({ previous, from, to }, 0), {
      xWeight: 3 / 4,
      x0Weight: 0.8 * (7 / 16) * 1.5,
      previousX0Weight: 0.8 * (7 / 16) * -0.5,
      noiseWeight: 0,
    });
  });

  test('the SDE keeps less and adds noise', () => {
    const gain = 1 - (9 / 16) ** 2;
    expectWeights(dpmSolverWeights({ previous, from, to }, 1), {
      xWeight: (3 / 4) * (9 / 16),
      x0Weight: 0.8 * gain * 1.5,
      previousX0Weight: 0.8 * gain * -0.5,
      noiseWeight: 0.6 * Math.sqrt(gain),
    });
  });

  test('at the ends they are finite and of first order', () => {
    const arrival = { xWeight: 0, x0Weight: 1, previousX0Weight: 0, noiseWeight: 0 };
    for (const eta of [0, 1]) {
      expectWeights(dpmSolverWeights({ previous, from, to: PURE_DATA }, eta), arrival);
      expectWeights(dpmSolverWeights({ previous: PURE_NOISE, from, to: PURE_DATA }, eta), arrival);
      expectWeights(dpmSolverWeights({ previous: undefined, from: PURE_NOISE, to: PURE_DATA }, eta), arrival);
      expectWeights(
        dpmSolverWeights({ previous: PURE_NOISE, from, to }, eta),
        dpmSolverWeights({ previous: undefined, from, to }, eta),
      );
    }
    const departure = { previous: undefined, from: PURE_NOISE, to };
    expectWeights(dpmSolverWeights(departure, 0), {
      xWeight: 0.6,
      x0Weight: 0.8,
      previousX0Weight: 0,
      noiseWeight: 0,
    });
    expectWeights(dpmSolverWeights(departure, 1), {
      xWeight: 0,
      x0Weight: 0.8,
      previousX0Weight: 0,
      noiseWeight: 0.6,
    });
  });

  test('of first order they are those of DDIM: x′ = α′ x0 + σ′ (x − α x0) / σ', () => {
    for (const [a, b] of [
      [0.1, 0.3],
      [0.5, 1.2],
      [1.3, 1.5],
    ] as const) {
      const start: NoiseLevel = { alpha: Math.sin(a), sigma: Math.cos(a) };
      const end: NoiseLevel = { alpha: Math.sin(b), sigma: Math.cos(b) };
      expectWeights(dpmSolverWeights({ previous: undefined, from: start, to: end }, 0), {
        xWeight: end.sigma / start.sigma,
        x0Weight: end.alpha - (end.sigma * start.alpha) / start.sigma,
        previousX0Weight: 0,
        noiseWeight: 0,
      });
    }
  });
});

describe('on normal data of deviation s, whose denoiser is x0 = α s² x / (α² s² + σ²)', () => {
  const S = 0.5;
  const varianceAt = ({ alpha, sigma }: NoiseLevel): number => (alpha * S) ** 2 + sigma ** 2;

  /** Relative error of the variance after λ went from −4 to 4 in equal steps. */
  function errorOf(steps: number, eta: number): number {
    const levels = Array.from({ length: steps + 1 }, (_, i): NoiseLevel => {
      const ratio = Math.exp(-4 + (8 * i) / steps);
      return { alpha: ratio / Math.hypot(1, ratio), sigma: 1 / Math.hypot(1, ratio) };
    });
    // Variances of x and of the data predicted before, and their covariance.
    let [xx, xm, mm] = [varianceAt(levels[0]!), 0, 0];
    for (let i = 0; i < steps; i++) {
      const level = levels[i]!;
      const c = dpmSolverWeights({ previous: levels[i - 1], from: level, to: levels[i + 1]! }, eta);
      const slope = (level.alpha * S ** 2) / varianceAt(level);
      const own = c.xWeight + c.x0Weight * slope;
      const remembered = c.previousX0Weight;
      [xx, xm, mm] = [
        own ** 2 * xx + 2 * own * remembered * xm + remembered ** 2 * mm + c.noiseWeight ** 2,
        slope * (own * xx + remembered * xm),
        slope ** 2 * xx,
      ];
    }
    return xx / varianceAt(levels[steps]!) - 1;
  }

  test.each([0, 0.5, 1])('the variance is of second order with eta %d', (eta) => {
    const errors = [64, 128, 256].map((steps) => Math.abs(errorOf(steps, eta)));
    expect(Math.abs(Math.log2(errors[0]! / errors[1]!) - 2)).toBeLessThan(0.15);
    expect(Math.abs(Math.log2(errors[1]! / errors[2]!) - 2)).toBeLessThan(0.1);
    expect(errors[2]).toBeLessThan(1e-3);
  });
});

test.each(ENGINES)('a step on $name is the weighted sum', async ({ run }) => {
  const shape = [2, 1, 1, 2];
  const table = new CoefficientTable(dpmSolverColumns([{ previous, from, to }], 1));
  const step = dpmSolverStep(
    table.ofRows(input('coefficients', [1, 4])),
    input('x', shape),
    input('x0', shape),
    input('noise', shape),
  );
  const [x, x0, previousX0, noise] = [
    [1, -2, 0.5, 0],
    [0.25, 1, -1, 2],
    [-1, 0.5, 1, 1],
    [0.1, 0.2, -0.3, 1],
  ] as const;
  const values = await run(
    { next: step.x, remembered: step.memory!.previousX0! },
    new Map([
      ['coefficients', table.row(0)],
      ['x', tensorOf('f32', shape, x)],
      ['x0', tensorOf('f32', shape, x0)],
      ['previousX0', tensorOf('f32', shape, previousX0)],
      ['noise', tensorOf('f32', shape, noise)],
    ]),
  );
  const gain = 1 - (9 / 16) ** 2;
  const expected = x.map(
    (value, i) =>
      (27 / 64) * value +
      0.8 * gain * (1.5 * x0[i]! - 0.5 * previousX0[i]!) +
      0.6 * Math.sqrt(gain) * noise[i]!,
  );
  expectClose(values.get('next')!, expected, { relative: 1e-6 });
  expectClose(values.get('remembered')!, x0, { relative: 0 });
});
