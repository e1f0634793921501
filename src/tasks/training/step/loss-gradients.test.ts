import { expect, test } from 'vitest';
import { countingBackend } from '../../../../test/support/counting-backend.ts';
import { tinyConfig } from '../../../../test/support/tiny-training.ts';
import { hostTensor } from '../../../core/host-tensor.ts';
import { normal, randomKey } from '../../../core/random.ts';
import { createObjective } from '../../../diffusion/objectives.ts';
import type { CompileOptions } from '../../../engine/compile/training.ts';
import { peakLiveBytes } from '../../../engine/graph/liveness.ts';
import { simplify } from '../../../engine/graph/rewrite.ts';
import { cpuBackend } from '../../../engine/runtime/cpu-node.ts';
import type { Backend, LoadableModel } from '../../../engine/runtime/session.ts';
import { presetSpec } from '../../../networks/presets.ts';
import { createModel } from '../../../networks/registry.ts';
import { denoising } from './denoising.ts';
import { gradientGraph, LossGradients } from './loss-gradients.ts';
import { TrainState } from './train-state.ts';

const spec = presetSpec('U-DiT-XS', {
  inputSize: 8,
  width: 8,
  heads: 1,
  depth: [1, 0, 0, 0, 0],
  downFactor: 1,
});
const model = createModel(spec);
const objective = createObjective({ kind: 'flow' });
const learning = denoising(model, objective);
const batch = {
  x: hostTensor('f32', [4, 3, 8, 8], normal(randomKey(1), 4 * 3 * 64)),
  y: hostTensor('i64', [4], BigInt64Array.of(0n, 3n, 8n, 1n)),
};
const feeds = learning.feedsOf(randomKey(2), 1, batch);

const WHOLE = { batchSize: 4, microBatch: 4, shards: 1, recompute: false };

async function gradientsWith(cut: Partial<typeof WHOLE>, session: CompileOptions = {}) {
  const state = TrainState.initial(model, 0, tinyConfig());
  // Zero-initialised layers would hide most gradients.
  state.buffers.parameters.forEach((value, i, all) => {
    if (value === 0) all[i] = 0.1 * Math.sin(i);
  });
  const { gradients } = state.buffers;
  const options = { ...WHOLE, ...cut, backend: cpuBackend, session };
  const lossGradients = await LossGradients.compile(learning, state.layout, gradients, options);
  const { loss } = await lossGradients.run(state.weights('model'), feeds);
  await lossGradients.release();
  return { loss, gradients };
}

test.each([
  ['shards', { shards: 2 }],
  ['micro-batches', { microBatch: 1 }],
  ['micro-batches of shards', { microBatch: 2, shards: 2 }],
  ['values that are computed again', { recompute: true }],
])('%s give the loss and the gradients of the whole batch', async (_, cut) => {
  const whole = await gradientsWith({});
  const parts = await gradientsWith(cut);
  expect(parts.loss).toBeCloseTo(whole.loss, 5);
  const norm = Math.hypot(...whole.gradients);
  const distance = Math.hypot(...parts.gradients.map((value, i) => value - whole.gradients[i]!));
  expect(norm).toBeGreaterThan(0.01);
  expect(distance / norm).toBeLessThan(1e-5);
});

test('a second batch does not add to the first', async () => {
  const state = TrainState.initial(model, 0, tinyConfig());
  const { gradients } = state.buffers;
  const options = { ...WHOLE, microBatch: 2, backend: cpuBackend, session: {} };
  const compiled = await LossGradients.compile(learning, state.layout, gradients, options);
  await compiled.run(state.weights('model'), feeds);
  const first = gradients.slice();
  await compiled.run(state.weights('model'), feeds);
  await compiled.release();
  expect(gradients).toEqual(first);
});

test('to compute values again takes less memory, the less the more blocks there are', () => {
  const deeper = presetSpec('U-DiT-XS', { depth: [2, 2, 2, 2, 2], learnSigma: false });
  const peak = (recompute: boolean) =>
    peakLiveBytes(simplify(gradientGraph(denoising(createModel(deeper), objective), 2, recompute)));
  expect(peak(true)).toBeLessThan(0.4 * peak(false));
});

test('shards in threads give the bytes of shards one after the other', async () => {
  const here = await gradientsWith({ shards: 2 });
  const inThreads = await gradientsWith({ shards: 2 }, { workers: 1 });
  expect(inThreads.loss).toBe(here.loss);
  expect(inThreads.gradients).toEqual(here.gradients);
});

test('where one shard cannot be compiled, the others are released', async () => {
  const { backend, open, asked } = await countingBackend(2);
  const state = TrainState.initial(model, 0, tinyConfig());
  const options = { ...WHOLE, shards: 2, backend, session: {} };
  await expect(
    LossGradients.compile(learning, state.layout, state.buffers.gradients, options),
  ).rejects.toThrow('model 2 is refused');
  expect([asked(), open()]).toEqual([2, 0]);
});

test('the graph is lowered once, whatever the number of shards', async () => {
  const models: LoadableModel[] = [];
  const backend: Backend = {
    ...cpuBackend,
    createSession: (loaded, options) => {
      models.push(loaded);
      return cpuBackend.createSession(loaded, options);
    },
  };
  const state = TrainState.initial(model, 0, tinyConfig());
  const options = { ...WHOLE, shards: 4, backend, session: {} };
  const compiled = await LossGradients.compile(learning, state.layout, state.buffers.gradients, options);
  await compiled.release();
  expect(models).toHaveLength(4);
  expect(new Set(models).size).toBe(1);
});
