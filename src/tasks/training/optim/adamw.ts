/** @file AdamW (Loshchilov & Hutter 2019) with an exponential moving average of the parameters, in one pass over memory. */
import { BlockKernel } from './block-kernel.ts';
import { add, div, min, mul, sqrt, sub } from './simd-loop.ts';

/** Flat buffers of equal length. */
export interface OptimizerState {
  readonly parameters: Float32Array;
  readonly gradients: Float32Array;
  /** First moment, PyTorch's `exp_avg`. */
  readonly expAvg: Float32Array;
  /** Second moment, PyTorch's `exp_avg_sq`. */
  readonly expAvgSq: Float32Array;
  readonly ema: Float32Array;
}

export interface AdamWOptions {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** Gradients are multiplied by this first (clipping). */
  readonly gradientScale: number;
  /** Share of the average that stays at this step. */
  readonly emaDecay: number;
}

/** State for a model whose parameters have these values; the average starts as a copy of them. */
export function createOptimizerState(parameters: Float32Array): OptimizerState {
  const { length } = parameters;
  return {
    parameters,
    gradients: new Float32Array(length),
    expAvg: new Float32Array(length),
    expAvgSq: new Float32Array(length),
    ema: parameters.slice(),
  };
}

/**
 * Update number `step` (the first is 1), in place. The formulas are PyTorch's:
 * p ← p (1 − lr·wd) − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps). Arithmetic is float32, as PyTorch's, where WebAssembly
 * has SIMD, and {@link adamWReference}'s elsewhere; each gives the same bits on every machine.
 */
export function adamWStep(state: OptimizerState, step: number, options: AdamWOptions): void {
  if (kernel === undefined) kernel = compileKernel();
  if (kernel === null) {
    adamWReference(state, step, options);
    return;
  }
  const { learningRate, beta1, beta2, eps, weightDecay, gradientScale, emaDecay } = options;
  kernel.run(state, {
    gradientScale,
    share1: 1 - beta1,
    share2: 1 - beta2,
    largest: LARGEST_FLOAT32,
    decay: learningRate * weightDecay,
    ...biasCorrections(step, options),
    eps,
    emaShare: 1 - emaDecay,
  });
}

/** The update in float64, rounded once per stored value: for systems without SIMD, and what tests compare with. */
export function adamWReference(state: OptimizerState, step: number, options: AdamWOptions): void {
  const { parameters, gradients, expAvg, expAvgSq, ema } = state;
  const { learningRate, beta1, beta2, eps, weightDecay, gradientScale, emaDecay } = options;
  const { stepSize, inverseCorrection2 } = biasCorrections(step, options);
  const keep = 1 - learningRate * weightDecay;
  for (let i = 0; i < parameters.length; i++) {
    const g = gradients[i]! * gradientScale;
    const m = beta1 * expAvg[i]! + (1 - beta1) * g;
    const v = beta2 * expAvgSq[i]! + (1 - beta2) * g * g;
    const p = parameters[i]! * keep - (stepSize * m) / (Math.sqrt(v) * inverseCorrection2 + eps);
    expAvg[i] = m;
    expAvgSq[i] = v;
    parameters[i] = p;
    ema[i] = emaDecay * ema[i]! + (1 - emaDecay) * p;
  }
}

function biasCorrections(step: number, { learningRate, beta1, beta2 }: AdamWOptions) {
  return {
    stepSize: learningRate / (1 - beta1 ** step),
    inverseCorrection2: 1 / Math.sqrt(1 - beta2 ** step),
  };
}

const LARGEST_FLOAT32 = 2 ** 128 - 2 ** 104;

/** Compiled at the first step; null where there is no SIMD. */
let kernel: ReturnType<typeof compileKernel> | undefined;

function compileKernel() {
  return BlockKernel.compile({
    arrays: ['parameters', 'gradients', 'expAvg', 'expAvgSq', 'ema'],
    constants: [
      ...(['gradientScale', 'share1', 'share2', 'largest'] as const),
      ...(['decay', 'stepSize', 'inverseCorrection2', 'eps', 'emaShare'] as const),
    ],
    // Each result is the old value and a small change, so that all constants are small numbers with seven digits: of a
    // β₂ rounded to 0.99900001, 1 − β₂ would have five. A change below half a unit in the old value's last place is
    // lost, as it is in the reference and in PyTorch.
    formulas: (old, c) => {
      const g = mul(old.gradients, c.gradientScale);
      const m = add(old.expAvg, mul(c.share1, sub(g, old.expAvg)));
      const vChange = sub(mul(mul(c.share2, g), g), mul(c.share2, old.expAvgSq));
      // From an infinite v the next step would make ∞ − ∞.
      const v = min(add(old.expAvgSq, vChange), c.largest);
      const adam = div(mul(c.stepSize, m), add(mul(sqrt(v), c.inverseCorrection2), c.eps));
      const p = sub(old.parameters, add(mul(c.decay, old.parameters), adam));
      const ema = add(old.ema, mul(c.emaShare, sub(p, old.ema)));
      return { parameters: p, expAvg: m, expAvgSq: v, ema };
    },
  });
}

/** L2 norm of all gradients together, summed in float64 in a fixed order. */
export function gradientNorm(gradients: Float32Array): number {
  // Four sums at a time: each addition would wait for the one before it otherwise.
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = gradients.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    const w = gradients[i]!;
    const x = gradients[i + 1]!;
    const y = gradients[i + 2]!;
    const z = gradients[i + 3]!;
    a += w * w;
    b += x * x;
    c += y * y;
    d += z * z;
  }
  for (let i = whole; i < gradients.length; i++) a += gradients[i]! * gradients[i]!;
  return Math.sqrt(a + b + c + d);
}

/** The factor that brings a norm down to `maxNorm` (PyTorch's `clip_grad_norm_`); 1 where clipping is off. */
export function clippingScale(norm: number, maxNorm: number | null): number {
  return maxNorm === null ? 1 : Math.min(1, maxNorm / (norm + 1e-6));
}
