import { afterEach, describe, expect, test, vi } from 'vitest';
import { expectClose } from '../../../../test/support/closeness.ts';
import { fold, normal, randomKey } from '../../../core/random.ts';
import { ADAMW } from './adamw.ts';
import { BLOCK_LENGTH } from './block-kernel.ts';
import { clippingScale, gradientNorm } from './clipping.ts';
import { ElementwiseOptimizer, updateByReference } from './elementwise.ts';
import type { OptimizerState } from './optimizer.ts';
import { ParameterLayout } from './parameter-buffers.ts';

const KEY = randomKey(1);
const COUNT = 50;
const SETTINGS = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.1 };
const OPTIONS = { ...SETTINGS, learningRate: 0.01, gradientScale: 0.5, emaDecay: 0.9 };
type Options = typeof OPTIONS;

function createState(parameters: Float32Array): OptimizerState {
  const { length } = parameters;
  return {
    layout: new ParameterLayout([{ name: 'weight', shape: [length] }]),
    parameters,
    gradients: new Float32Array(length),
    slots: new Map(ADAMW.slots.map((slot) => [slot, new Float32Array(length)])),
    averages: new Map([['ema', parameters.slice()]]),
  };
}

/** The buffers by name. */
const FIELDS = ['parameters', 'exp_avg', 'exp_avg_sq', 'ema'] as const;
type Field = (typeof FIELDS)[number];

function buffersOf({ parameters, slots, averages }: OptimizerState): Record<Field, Float32Array> {
  return { parameters, ...Object.fromEntries([...slots, ...averages]) } as Record<Field, Float32Array>;
}

const updateOf = (step: number, { learningRate, gradientScale, emaDecay }: Options) => ({
  step,
  learningRate,
  gradientScale,
  averageDecays: [emaDecay],
});

function adamWStep(state: OptimizerState, step: number, options: Options): void {
  new ElementwiseOptimizer(ADAMW, options, 1).update(state, updateOf(step, options));
}

function adamWReference(state: OptimizerState, step: number, options: Options): void {
  updateByReference(ADAMW, options, state, updateOf(step, options));
}

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

  step(t: number, gradient: number, o: Options): void {
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
    const state = createState(initial.slice());
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
      buffersOf(state).ema,
      printed.map(({ ema }) => ema),
      tolerance,
    );
  });

  test('agrees with PyTorch 1.13, with decay, clipping and an average', () => {
    const state = createState(Float32Array.of(1, -0.5, 0.25, 3));
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
    expectClose(buffersOf(state).exp_avg, [-0.0420552529, 0.0615777485, 2.06681343e-5, 0], tolerance);
    expectClose(buffersOf(state).exp_avg_sq, [0.0101124896, 0.0195884649, 4.2277648e-10, 0], tolerance);
    expectClose(buffersOf(state).ema, [0.99539113, -0.497490495, 0.246127218, 2.99831772], tolerance);
  });

  test('the average starts as a copy, and gradients are not changed', () => {
    const state = createState(Float32Array.of(1, -2));
    state.gradients.set([3, 4]);
    adamWStep(state, 1, { ...OPTIONS, emaDecay: 1 });
    expect([...buffersOf(state).ema]).toEqual([1, -2]);
    expect([...state.gradients]).toEqual([3, 4]);
  });

  test('the first step moves every parameter by the learning rate against its gradient', () => {
    const state = createState(Float32Array.of(1, 1, 1));
    state.gradients.set([1e-3, -7, 0]);
    adamWStep(state, 1, { ...OPTIONS, weightDecay: 0, gradientScale: 1 });
    expectClose(state.parameters, [0.99, 1.01, 1], { relative: 1e-6 });
  });
});

describe('the SIMD kernel', () => {
  afterEach(() => vi.restoreAllMocks());

  /** Two states after the same steps, by the kernel and by the reference. */
  function both(
    length: number,
    steps: number,
    gradient: (step: number) => Float32Array,
    options: Options = OPTIONS,
  ): Record<'actual' | 'expected', Record<Field, Float32Array>> {
    const initial = normal(fold(KEY, 'initial'), length);
    const actual = createState(initial.slice());
    const expected = createState(initial);
    for (let step = 1; step <= steps; step++) {
      actual.gradients.set(gradient(step));
      expected.gradients.set(actual.gradients);
      adamWStep(actual, step, options);
      adamWReference(expected, step, options);
    }
    return { actual: buffersOf(actual), expected: buffersOf(expected) };
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
        const absolute = field === 'exp_avg_sq' ? 300 * 2 ** -149 : 0;
        expectClose(actual[field], expected[field], { relative: 3e-6, absolute });
      }
    },
  );

  test('without gradients only the weights decay', () => {
    const { actual, expected } = both(6, 50, () => new Float32Array(6));
    expectClose(actual.parameters, expected.parameters, { relative: 1e-6 });
    expect([...actual.exp_avg, ...actual.exp_avg_sq]).toEqual(Array(12).fill(0));
  });

  test('a square beyond float32 stays the largest number, and stops no later step', () => {
    const { actual } = both(2, 10, (step) => Float32Array.of(step === 1 ? 1e30 : 1, 1), {
      ...OPTIONS,
      gradientScale: 1,
    });
    expect(actual.exp_avg_sq[0]).toBeGreaterThan(3e38);
    for (const field of FIELDS) expect(actual[field].every(Number.isFinite)).toBe(true);
  });

  test('not a number stays where it is', () => {
    const { actual } = both(9, 1, () => Float32Array.of(1, 1, 1, Number.NaN, 1, 1, 1, 1, 1));
    expect([...actual.parameters].map(Number.isNaN).indexOf(true)).toBe(3);
    expect([...actual.parameters].filter(Number.isNaN)).toHaveLength(1);
  });

  test('the loop takes its place where there is no SIMD', () => {
    vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
    const initial = normal(fold(KEY, 'initial'), 7);
    const actual = createState(initial.slice());
    const expected = createState(initial);
    for (const state of [actual, expected]) state.gradients.set(random(7, 1)(1));
    adamWStep(actual, 1, OPTIONS);
    adamWReference(expected, 1, OPTIONS);
    expect(actual).toEqual(expected);
  });
});
