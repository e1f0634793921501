/** @file AdamW (Loshchilov & Hutter 2019) with an exponential moving average of the parameters, in one pass over memory. */

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
 * Update number `step` (the first is 1), in place. Arithmetic is float64, rounded once per stored value; the formulas
 * are PyTorch's: p ← p (1 − lr·wd) − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps).
 */
export function adamWStep(state: OptimizerState, step: number, options: AdamWOptions): void {
  const { parameters, gradients, expAvg, expAvgSq, ema } = state;
  const { learningRate, beta1, beta2, eps, weightDecay, gradientScale, emaDecay } = options;
  const stepSize = learningRate / (1 - beta1 ** step);
  const inverseCorrection2 = 1 / Math.sqrt(1 - beta2 ** step);
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

/** L2 norm of all gradients together, summed in float64 in a fixed order. */
export function gradientNorm(gradients: Float32Array): number {
  // Four sums at a time: each addition would wait for the one before it otherwise.
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = gradients.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    a += gradients[i]! * gradients[i]!;
    b += gradients[i + 1]! * gradients[i + 1]!;
    c += gradients[i + 2]! * gradients[i + 2]!;
    d += gradients[i + 3]! * gradients[i + 3]!;
  }
  for (let i = whole; i < gradients.length; i++) a += gradients[i]! * gradients[i]!;
  return Math.sqrt(a + b + c + d);
}

/** The factor that brings a norm down to `maxNorm` (PyTorch's `clip_grad_norm_`); 1 where clipping is off. */
export function clippingScale(norm: number, maxNorm: number | null): number {
  return maxNorm === null ? 1 : Math.min(1, maxNorm / (norm + 1e-6));
}
