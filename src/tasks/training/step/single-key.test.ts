import { expect, test } from 'vitest';
import { expectClose } from '../../../../test/support/closeness.ts';
import { tinyConfig, tinySamples } from '../../../../test/support/tiny-training.ts';
import { randomKey } from '../../../core/random.ts';
import { loadBatch } from '../../../data/datasets/samples.ts';
import { createObjective } from '../../../diffusion/objectives.ts';
import { cpuBackend } from '../../../engine/runtime/cpu-node.ts';
import { createModel } from '../../../networks/registry.ts';
import { modelForData } from '../config/model-for-data.ts';
import { denoising } from './denoising.ts';
import { TrainState } from './train-state.ts';
import { TrainStep } from './train-step.ts';

const [STEPS, RATE, DECAY] = [4, 0.01, 0.1];

/**
 * A map of 2×2 pixels whose attention has one key. The softmax over it is 1 whatever queries and keys are, so PyTorch's
 * gradients of them are exactly zero; anything else, however small, AdamW would make a whole step of.
 */
test.each(['qkv', 'kv'] as const)(
  'where there is one key, what makes queries and keys decays (%s)',
  async (tokens) => {
    const config = tinyConfig(
      { model: { tokens, downFactor: [2, 2, 2, 2, 2], classDropoutProb: 0 } },
      { training: { shards: 1, steps: STEPS } },
      { optimizer: { learningRate: RATE, weightDecay: DECAY, schedule: 'constant', warmupSteps: 0 } },
    );
    const samples = tinySamples(4);
    const objective = createObjective(config.objective);
    const model = createModel(modelForData(config, samples, objective));
    const learning = denoising(model, objective);
    const state = TrainState.initial(model, 0, config);
    const before = new Map(
      [...state.weights('model')].map(([name, { data }]) => [name, Array.from(data, Number)]),
    );

    const trainStep = await TrainStep.compile(learning, state, config, cpuBackend, { threads: 1 });
    for (let step = 1; step <= STEPS; step++) {
      const batch = await loadBatch(samples, [0, 1, 2, 3], null);
      await trainStep.run(step, learning.feedsOf(randomKey(4), step, batch));
    }
    await trainStep.release();

    const after = state.weights('model');
    const moments = state.tensors();
    /** Of a tensor whose first `share` belongs to queries and keys: those that moved, and the others. */
    const expectStill = (name: string, share: number): void => {
      const data = Array.from(after.get(name)!.data, Number);
      const count = data.length * share;
      const decayed = before.get(name)!.map((value) => value * (1 - RATE * DECAY) ** STEPS);
      expectClose(data.slice(0, count), decayed.slice(0, count), { relative: 1e-6 });
      for (const moment of ['exp_avg', 'exp_avg_sq']) {
        const values = moments.get(`optimizer.${moment}.${name}`)!.data.slice(0, count);
        expect(
          values.every((value) => value === 0),
          `${moment} of ${name}`,
        ).toBe(true);
      }
      if (share === 1) return;
      expect(data.slice(count).some((value, i) => Math.abs(value - decayed[count + i]!) > RATE / 2)).toBe(
        true,
      );
    };
    const single = [...after.keys()].filter((name) => name.startsWith('latent.') && name.includes('.attn'));
    expect(single.length).toBeGreaterThan(0);
    for (const name of single) {
      if (name.endsWith('logit_scale')) expectStill(name, 1);
      if (name.includes('.to_qkv.')) expectStill(name, 2 / 3);
      if (name.includes('.downsampler.') && tokens === 'kv') expectStill(name, 1 / 2);
    }
  },
);
