import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../../test/support/closeness.ts';
import { fold, normal, randomKey } from '../../../core/random.ts';
import { BLOCK_LENGTH } from './block-kernel.ts';
import { ElementwiseOptimizer, updateByReference } from './elementwise.ts';
import type { Optimizer, OptimizerState, OptimizerUpdate } from './optimizer.ts';
import { createOptimizer, OPTIMIZER_SLOTS, type OptimizerConfig } from './optimizers.ts';
import { ParameterLayout } from './parameter-buffers.ts';
import { SGD } from './sgd.ts';

const KEY = randomKey(5);
const COMMON = { learningRate: 0.1, schedule: 'constant', warmupSteps: 0, clipNorm: null } as const;
const ADAMW = { ...COMMON, kind: 'adamw', beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.1 } as const;
const SETTINGS = { weightDecay: 0.1, momentum: 0.9, nesterov: false };

function createState(
  parameters: Float32Array,
  slots: readonly string[],
  averages: readonly string[],
  layout = new ParameterLayout([{ name: 'weight', shape: [parameters.length] }]),
): OptimizerState {
  const { length } = parameters;
  return {
    ...{ layout, parameters, gradients: new Float32Array(length) },
    slots: new Map(slots.map((slot) => [slot, new Float32Array(length)])),
    averages: new Map(averages.map((name) => [name, parameters.slice()])),
  };
}

const updateOf = (step: number, averageDecays: readonly number[] = []): OptimizerUpdate => ({
  step,
  learningRate: 0.1,
  gradientScale: 0.5,
  averageDecays,
});

describe('SGD', () => {
  /** As PyTorch's documentation prints it, without dampening, number by number. */
  function printedSgd(p: number, gradients: readonly number[], { nesterov }: { nesterov: boolean }): number {
    const { momentum, weightDecay } = SETTINGS;
    let buffer: number | undefined;
    for (const gradient of gradients) {
      let g = 0.5 * gradient + weightDecay * p;
      buffer = buffer === undefined ? g : momentum * buffer + g;
      g = nesterov ? g + momentum * buffer : buffer;
      p -= 0.1 * g;
    }
    return p;
  }

  test.each([false, true])('is the printed algorithm; Nesterov: %s', (nesterov) => {
    const initial = normal(fold(KEY, 'initial'), 40);
    const state = createState(initial.slice(), SGD.slots, []);
    const optimizer = new ElementwiseOptimizer(SGD, { ...SETTINGS, nesterov }, 0);
    const gradients = Array.from({ length: 20 }, (_, step) => normal(fold(KEY, 'gradient', step), 40));
    for (const [i, gradient] of gradients.entries()) {
      state.gradients.set(gradient);
      optimizer.update(state, updateOf(i + 1));
    }
    const expected = Array.from(initial, (p, i) =>
      printedSgd(
        p,
        gradients.map((gradient) => gradient[i]!),
        { nesterov },
      ),
    );
    expectClose(state.parameters, expected, { relative: 2e-6 });
  });

  test.each([3, BLOCK_LENGTH + 1])('agrees with the float64 loop: %i elements', (length) => {
    const initial = normal(fold(KEY, 'initial'), length);
    const [actual, expected] = [0, 1].map(() => createState(initial.slice(), SGD.slots, ['ema']));
    const optimizer = new ElementwiseOptimizer(SGD, SETTINGS, 1);
    for (let step = 1; step <= 20; step++) {
      for (const state of [actual!, expected!]) state.gradients.set(normal(fold(KEY, 'step', step), length));
      optimizer.update(actual!, updateOf(step, [0.9]));
      updateByReference(SGD, SETTINGS, expected!, updateOf(step, [0.9]));
    }
    const tolerance = { relative: 3e-6 };
    expectClose(actual!.parameters, expected!.parameters, tolerance);
    expectClose(actual!.averages.get('ema')!, expected!.averages.get('ema')!, tolerance);
    expectClose(actual!.slots.get('momentum_buffer')!, expected!.slots.get('momentum_buffer')!, tolerance);
  });
});

describe.each<OptimizerConfig>([ADAMW, { ...COMMON, kind: 'sgd', ...SETTINGS }])('$kind', (config) => {
  const decays = [0.9, 0.99, 0];

  /** A state with averages of these decays, after some steps. */
  function trained(averageDecays: readonly number[]): OptimizerState {
    const names = averageDecays.map((_, i) => `average${i}`);
    const initial = normal(fold(KEY, 'initial'), BLOCK_LENGTH + 5);
    const state = createState(initial, OPTIMIZER_SLOTS[config.kind], names);
    const optimizer = createOptimizer(config, averageDecays.length);
    for (let step = 1; step <= 5; step++) {
      state.gradients.set(normal(fold(KEY, 'gradient', step), state.gradients.length));
      optimizer.update(state, updateOf(step, averageDecays));
    }
    return state;
  }

  test('averages change nothing, and several in one pass are each what it is alone', () => {
    const [together, none] = [trained(decays), trained([])];
    expect(together.parameters).toEqual(none.parameters);
    expect(together.slots).toEqual(none.slots);
    for (const [i, decay] of decays.entries()) {
      expect(together.averages.get(`average${i}`)).toEqual(trained([decay]).averages.get('average0'));
    }
  });

  test('an average that keeps nothing is the parameters, to rounding', () => {
    const { parameters, averages } = trained(decays);
    expectClose(averages.get('average2')!, parameters, { relative: 1e-6, absolute: 1e-6 });
  });
});

test('an optimizer may look at parameters as tensors, and leave the rest to another', () => {
  /** The gradient of each matrix is brought to length 1; vectors keep theirs. */
  class NormalisedSgd implements Optimizer {
    readonly slots = SGD.slots;
    private readonly sgd = new ElementwiseOptimizer(SGD, { ...SETTINGS, weightDecay: 0 }, 1);

    update(state: OptimizerState, update: OptimizerUpdate): void {
      const gradients = state.gradients.slice();
      for (const { shape, data } of state.layout.views(gradients).values()) {
        if (shape.length < 2) continue;
        const norm = Math.hypot(...data);
        for (let i = 0; i < data.length; i++) data[i]! /= norm;
      }
      this.sgd.update({ ...state, gradients }, update);
    }
  }
  const layout = new ParameterLayout([
    { name: 'weight', shape: [1, 2] },
    { name: 'bias', shape: [2] },
  ]);
  const state = createState(new Float32Array(4), SGD.slots, ['ema'], layout);
  state.gradients.set([30, 40, 3, 4]);
  new NormalisedSgd().update(state, { ...updateOf(1, [0.5]), gradientScale: 1 });
  expectClose(state.parameters, [-0.06, -0.08, -0.3, -0.4], { relative: 1e-6 });
  expectClose(state.averages.get('ema')!, [-0.03, -0.04, -0.15, -0.2], { relative: 1e-6 });
  expect([...state.gradients]).toEqual([30, 40, 3, 4]);
});
