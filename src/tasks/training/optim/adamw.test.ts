import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { expectClose } from '../../../../test/support/closeness.ts';
import { fold, normal, randomKey } from '../../../core/random.ts';
import { readSafetensors } from '../../../formats/file-node.ts';
import {
  type AdamWOptions,
  adamWReference,
  adamWStep,
  clippingScale,
  createOptimizerState,
  gradientNorm,
  type OptimizerState,
} from './adamw.ts';
import { BLOCK_LENGTH } from './block-kernel.ts';

const KEY = randomKey(1);
const COUNT = 50;
const OPTIONS: AdamWOptions = {
  learningRate: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0.1,
  gradientScale: 0.5,
  emaDecay: 0.9,
};

/** Algorithm 2 of Loshchilov & Hutter as it is printed: bias-corrected moments, then the step, number by number. */
class PrintedAdamW {
  private m = 0;
  private v = 0;
  ema: number;
  p: number;

  constructor(p: number) {
    this.p = p;
    this.ema = p;
  }

  step(t: number, gradient: number, o: AdamWOptions): void {
    const g = gradient * o.gradientScale;
    this.m = o.beta1 * this.m + (1 - o.beta1) * g;
    this.v = o.beta2 * this.v + (1 - o.beta2) * g ** 2;
    const mHat = this.m / (1 - o.beta1 ** t);
    const vHat = this.v / (1 - o.beta2 ** t);
    this.p -= o.learningRate * (mHat / (Math.sqrt(vHat) + o.eps) + o.weightDecay * this.p);
    this.ema += (1 - o.emaDecay) * (this.p - this.ema);
  }
}

describe('AdamW', () => {
  test('agrees with the printed algorithm over 20 steps', () => {
    const initial = normal(fold(KEY, 'initial'), COUNT);
    const state = createOptimizerState(initial.slice());
    const printed = Array.from(initial, (p) => new PrintedAdamW(p));
    for (let step = 1; step <= 20; step++) {
      const options = { ...OPTIONS, learningRate: OPTIONS.learningRate / step };
      state.gradients.set(normal(fold(KEY, 'gradient', step), COUNT));
      adamWStep(state, step, options);
      printed.forEach((scalar, i) => {
        scalar.step(step, state.gradients[i]!, options);
      });
    }
    // Rounding each stored value to float32 is all that differs.
    const tolerance = { relative: 1e-6 };
    expectClose(
      state.parameters,
      printed.map(({ p }) => p),
      tolerance,
    );
    expectClose(
      state.ema,
      printed.map(({ ema }) => ema),
      tolerance,
    );
  });

  test('agrees with PyTorch 1.13, with decay, clipping and an average', () => {
    const state = createOptimizerState(Float32Array.of(1, -0.5, 0.25, 3));
    const gradients = [
      [0.5, -1, 1e-4, 0],
      [0.25, 2, -1e-4, 0],
      [-1, 0.5, 2e-4, 0],
    ];
    gradients.forEach((gradient, i) => {
      state.gradients.set(gradient);
      const gradientScale = clippingScale(gradientNorm(state.gradients), 1);
      adamWStep(state, i + 1, { ...OPTIONS, beta2: 0.99, eps: 1e-6, gradientScale });
    });
    const tolerance = { relative: 2e-7 };
    expectClose(state.parameters, [0.981228352, -0.492361695, 0.230824277, 2.991009], tolerance);
    expectClose(state.expAvg, [-0.0420552529, 0.0615777485, 2.06681343e-5, 0], tolerance);
    expectClose(state.expAvgSq, [0.0101124896, 0.0195884649, 4.2277648e-10, 0], tolerance);
    expectClose(state.ema, [0.99539113, -0.497490495, 0.246127218, 2.99831772], tolerance);
  });

  test('the average starts as a copy, and gradients are not changed', () => {
    const state = createOptimizerState(Float32Array.of(1, -2));
    state.gradients.set([3, 4]);
    adamWStep(state, 1, { ...OPTIONS, emaDecay: 1 });
    expect([...state.ema]).toEqual([1, -2]);
    expect([...state.gradients]).toEqual([3, 4]);
  });

  test('the first step moves every parameter by the learning rate against its gradient', () => {
    const state = createOptimizerState(Float32Array.of(1, 1, 1));
    state.gradients.set([1e-3, -7, 0]);
    adamWStep(state, 1, { ...OPTIONS, weightDecay: 0, gradientScale: 1 });
    expectClose(state.parameters, [0.99, 1.01, 1], { relative: 1e-6 });
  });
});

describe('the SIMD kernel', () => {
  afterEach(() => vi.restoreAllMocks());

  const FIELDS = ['parameters', 'expAvg', 'expAvgSq', 'ema'] as const;

  /** Two states after the same steps, by the kernel and by the reference. */
  function both(
    length: number,
    steps: number,
    gradient: (step: number) => Float32Array,
    options: AdamWOptions = OPTIONS,
  ): { actual: OptimizerState; expected: OptimizerState } {
    const initial = normal(fold(KEY, 'initial'), length);
    const actual = createOptimizerState(initial.slice());
    const expected = createOptimizerState(initial);
    for (let step = 1; step <= steps; step++) {
      actual.gradients.set(gradient(step));
      expected.gradients.set(actual.gradients);
      adamWStep(actual, step, options);
      adamWReference(expected, step, options);
    }
    return { actual, expected };
  }

  const random = (length: number, scale: number) => (step: number) =>
    normal(fold(KEY, 'gradient', step), length).map((g) => g * scale);

  test.each([1, 3, 5, BLOCK_LENGTH - 1, BLOCK_LENGTH, BLOCK_LENGTH + 1])(
    'agrees with the float64 loop: %i elements',
    (length) => {
      const { actual, expected } = both(length, 20, random(length, 1));
      for (const field of FIELDS) expectClose(actual[field], expected[field], { relative: 1e-6 });
    },
  );

  // Squares of the smallest are subnormal (1e-19, 1e-21), then zero.
  test.each([1e-30, 1e-21, 1e-19, 1e-8, 1e-3, 1e10, 1e18])(
    'agrees with the float64 loop over 300 steps with gradients of %d',
    (scale) => {
      const options = { ...OPTIONS, learningRate: 1e-3, emaDecay: 0.9999 };
      const { actual, expected } = both(37, 300, random(37, scale), options);
      for (const field of FIELDS) {
        // Subnormal numbers have a fixed distance; half of it is lost or won at each step.
        const absolute = field === 'expAvgSq' ? 300 * 2 ** -149 : 0;
        expectClose(actual[field], expected[field], { relative: 3e-6, absolute });
      }
    },
  );

  test('without gradients only the weights decay', () => {
    const { actual, expected } = both(6, 50, () => new Float32Array(6));
    expectClose(actual.parameters, expected.parameters, { relative: 1e-6 });
    expect([...actual.expAvg, ...actual.expAvgSq]).toEqual(Array(12).fill(0));
  });

  test('a square beyond float32 stays the largest number, and stops no later step', () => {
    const { actual } = both(2, 10, (step) => Float32Array.of(step === 1 ? 1e30 : 1, 1), {
      ...OPTIONS,
      gradientScale: 1,
    });
    expect(actual.expAvgSq[0]).toBeGreaterThan(3e38);
    for (const field of FIELDS) expect(actual[field].every(Number.isFinite)).toBe(true);
  });

  test('not a number stays where it is', () => {
    const { actual } = both(9, 1, () => Float32Array.of(1, 1, 1, Number.NaN, 1, 1, 1, 1, 1));
    expect([...actual.parameters].map(Number.isNaN).indexOf(true)).toBe(3);
    expect([...actual.parameters].filter(Number.isNaN)).toHaveLength(1);
  });

  test('the loop takes its place where there is no SIMD', async () => {
    vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
    vi.resetModules();
    const withoutSimd = await import('./adamw.ts');
    const initial = normal(fold(KEY, 'initial'), 7);
    const actual = createOptimizerState(initial.slice());
    const expected = createOptimizerState(initial);
    for (const state of [actual, expected]) state.gradients.set(random(7, 1)(1));
    withoutSimd.adamWStep(actual, 1, OPTIONS);
    adamWReference(expected, 1, OPTIONS);
    expect(actual).toEqual(expected);
  });
});

describe('clipping', () => {
  test('the norm is PyTorch’s', async () => {
    const fixture = new URL('../../../../test/fixtures/training/dit_drop/', import.meta.url);
    const recorded = JSON.parse(await readFile(new URL('expected.json', fixture), 'utf8'));
    const { tensors } = await readSafetensors(fileURLToPath(new URL('grads_step1.safetensors', fixture)));
    const gradients = [...tensors]
      .filter(([name]) => name !== 'pos_embed')
      .flatMap(([, { data }]) => Array.from(data, Number));
    expect(gradientNorm(Float32Array.from(gradients))).toBeCloseTo(recorded.grad_global_l2, 6);
  });

  test('the norm of all gradients together', () => {
    expect(gradientNorm(Float32Array.of(3, 0, -4))).toBe(5);
    expect(gradientNorm(new Float32Array(0))).toBe(0);
    expect(gradientNorm(Float32Array.of(1, Number.NaN))).toBeNaN();
    // Squares beyond float32 are no trouble.
    expect(gradientNorm(Float32Array.of(3e30, 4e30)) / 5e30).toBeCloseTo(1, 6);
  });

  test('brings a norm that is too large down to the largest allowed, and leaves others', () => {
    expect(clippingScale(0.5, 1)).toBe(1);
    expect(4 * clippingScale(4, 1)).toBeCloseTo(1, 6);
    expect(clippingScale(1e9, null)).toBe(1);
  });
});
