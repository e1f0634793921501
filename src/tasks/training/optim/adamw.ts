/**
 * @file AdamW (Loshchilov & Hutter 2019). The formulas are PyTorch's:
 * p ← p (1 − lr·wd) − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps).
 */
import * as v from 'valibot';
import { fraction, positive } from '../../../core/values.ts';
import type { ElementwiseRule } from './elementwise.ts';
import { COMMON_SETTINGS, type OptimizerUpdate } from './optimizer.ts';
import { add, div, min, mul, sqrt, sub } from './simd-loop.ts';

export const adamWSchema = v.strictObject({
  kind: v.literal('adamw'),
  ...COMMON_SETTINGS,
  beta1: fraction,
  beta2: fraction,
  eps: positive,
});

export const ADAMW_DEFAULTS = { weightDecay: 0, beta1: 0.9, beta2: 0.999, eps: 1e-8 } as const;

export type AdamWSettings = Pick<v.InferOutput<typeof adamWSchema>, keyof typeof ADAMW_DEFAULTS>;

const LARGEST_FLOAT32 = 2 ** 128 - 2 ** 104;

const CONSTANTS = ['share1', 'share2', 'largest', 'decay', 'stepSize', 'inverseCorrection2', 'eps'] as const;

/** Its buffers are the first and second moment, by PyTorch's names. */
export const ADAMW: ElementwiseRule<AdamWSettings, 'exp_avg' | 'exp_avg_sq', (typeof CONSTANTS)[number]> = {
  slots: ['exp_avg', 'exp_avg_sq'],
  constantNames: CONSTANTS,
  constants: (settings, update) => ({
    share1: 1 - settings.beta1,
    share2: 1 - settings.beta2,
    largest: LARGEST_FLOAT32,
    decay: update.learningRate * settings.weightDecay,
    ...biasCorrections(settings, update),
    eps: settings.eps,
  }),
  formulas: ({ parameter, gradient: g, exp_avg, exp_avg_sq }, c) => {
    const m = add(exp_avg, mul(c.share1, sub(g, exp_avg)));
    const vChange = sub(mul(mul(c.share2, g), g), mul(c.share2, exp_avg_sq));
    // From an infinite v the next step would make ∞ − ∞.
    const v = min(add(exp_avg_sq, vChange), c.largest);
    const adam = div(mul(c.stepSize, m), add(mul(sqrt(v), c.inverseCorrection2), c.eps));
    return { parameter: sub(parameter, add(mul(c.decay, parameter), adam)), exp_avg: m, exp_avg_sq: v };
  },
  reference: (settings, update, { exp_avg, exp_avg_sq }) => {
    const { beta1, beta2, eps, weightDecay } = settings;
    const { stepSize, inverseCorrection2 } = biasCorrections(settings, update);
    const keep = 1 - update.learningRate * weightDecay;
    return (parameter, g, i) => {
      const m = beta1 * exp_avg[i]! + (1 - beta1) * g;
      const v = beta2 * exp_avg_sq[i]! + (1 - beta2) * g * g;
      exp_avg[i] = m;
      exp_avg_sq[i] = v;
      return parameter * keep - (stepSize * m) / (Math.sqrt(v) * inverseCorrection2 + eps);
    };
  },
};

function biasCorrections({ beta1, beta2 }: AdamWSettings, { step, learningRate }: OptimizerUpdate) {
  return {
    stepSize: learningRate / (1 - beta1 ** step),
    inverseCorrection2: 1 / Math.sqrt(1 - beta2 ** step),
  };
}
