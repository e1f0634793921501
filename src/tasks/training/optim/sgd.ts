/**
 * @file Stochastic gradient descent with momentum, as PyTorch's `SGD` without dampening:
 * g ← g + wd·p; b ← µ·b + g; p ← p − lr·b, or with Nesterov's momentum p ← p − lr·(g + µ·b).
 */
import * as v from 'valibot';
import { fraction } from '../../../core/values.ts';
import type { ElementwiseRule } from './elementwise.ts';
import { COMMON_SETTINGS } from './optimizer.ts';
import { add, mul, sub } from './simd-loop.ts';

export const sgdSchema = v.strictObject({
  kind: v.literal('sgd'),
  ...COMMON_SETTINGS,
  momentum: fraction,
  nesterov: v.boolean(),
});

export const SGD_DEFAULTS = { learningRate: 0.01, weightDecay: 0, momentum: 0.9, nesterov: false } as const;

export type SgdSettings = Pick<
  v.InferOutput<typeof sgdSchema>,
  Exclude<keyof typeof SGD_DEFAULTS, 'learningRate'>
>;

const CONSTANTS = ['decay', 'momentum', 'gradientRate', 'momentumRate'] as const;

/** The buffer has PyTorch's name. It begins as zeros, so the first step makes it the gradient, as PyTorch does. */
export const SGD: ElementwiseRule<SgdSettings, 'momentum_buffer', (typeof CONSTANTS)[number]> = {
  slots: ['momentum_buffer'],
  constantNames: CONSTANTS,
  constants: (settings, update) => ({
    decay: settings.weightDecay,
    momentum: settings.momentum,
    ...rates(settings, update.learningRate),
  }),
  formulas: ({ parameter, gradient, momentum_buffer }, c) => {
    const g = add(gradient, mul(c.decay, parameter));
    const b = add(mul(c.momentum, momentum_buffer), g);
    const change = add(mul(c.gradientRate, g), mul(c.momentumRate, b));
    return { parameter: sub(parameter, change), momentum_buffer: b };
  },
  reference: (settings, { learningRate }, { momentum_buffer }) => {
    const { momentum, weightDecay } = settings;
    const { gradientRate, momentumRate } = rates(settings, learningRate);
    return (parameter, gradient, i) => {
      const g = gradient + weightDecay * parameter;
      const b = momentum * momentum_buffer[i]! + g;
      momentum_buffer[i] = b;
      return parameter - gradientRate * g - momentumRate * b;
    };
  },
};

/** How far a step goes along the gradient, and along the buffer. */
function rates({ momentum, nesterov }: SgdSettings, learningRate: number) {
  return nesterov
    ? { gradientRate: learningRate, momentumRate: learningRate * momentum }
    : { gradientRate: 0, momentumRate: learningRate };
}
