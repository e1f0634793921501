import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tinyConfig, tinySamples } from '../../../../test/support/tiny-training.ts';
import { type HostTensor, hostTensor } from '../../../core/host-tensor.ts';
import { randomKey } from '../../../core/random.ts';
import { type Batch, loadBatch } from '../../../data/datasets/samples.ts';
import { createObjective } from '../../../diffusion/objectives.ts';
import { cpuBackend } from '../../../engine/runtime/cpu-node.ts';
import { createModel } from '../../../networks/registry.ts';
import { modelForData } from '../config/model-for-data.ts';
import { denoising } from './denoising.ts';
import { type LossFeeds, tensorsOf } from './learning.ts';
import { TrainState } from './train-state.ts';
import { TrainStep } from './train-step.ts';

const KEY = randomKey(4);
const dataset = tinySamples(4);
const config = tinyConfig(
  { training: { shards: 1, steps: 100 }, optimizer: { learningRate: 0.01, warmupSteps: 5, clipNorm: 0.5 } },
  { model: { classDropoutProb: 0.25 } },
);
const objective = createObjective(config.objective);
const model = createModel(modelForData(config, dataset, objective));
const learning = denoising(model, objective);
const state = TrainState.initial(model, 0, config);

let trainStep: TrainStep;
let batch: Batch;
let feeds: LossFeeds;
beforeAll(async () => {
  trainStep = await TrainStep.compile(learning, state, config, cpuBackend, { threads: 1 });
  batch = await loadBatch(dataset, [0, 1, 2, 3], null);
  feeds = learning.feedsOf(KEY, 1, batch);
});
afterAll(() => trainStep.release());

test('a batch that comes again and again is learned', async () => {
  const { loss: first } = await trainStep.run(1, feeds);
  let last = first;
  for (let step = 2; step <= 60; step++) last = (await trainStep.run(step, feeds)).loss;
  expect(last).toBeLessThan(0.7 * first);
});

test('the result says how large gradient and learning rate were', async () => {
  const { learningRate, gradientNorm, terms, loss } = await trainStep.run(3, feeds);
  expect(learningRate).toBeCloseTo(0.006, 12);
  expect(gradientNorm).toBeGreaterThan(0);
  expect(terms.mse).toBeCloseTo(loss, 6);
});

test('a loss that is not finite changes nothing', async () => {
  const { parameters, slots, averages } = state.buffers;
  const all = [parameters, ...slots.values(), ...averages.values()];
  const bytes = () => Buffer.concat(all.map(({ buffer }) => Buffer.from(buffer)));
  const before = Buffer.from(bytes());
  const { tensor, sampleAxis } = feeds.get('noise')!;
  const noise = hostTensor('f32', tensor.shape, new Float32Array(tensor.data.length).fill(Number.NaN));
  const { loss } = await trainStep.run(4, new Map([...feeds, ['noise', { tensor: noise, sampleAxis }]]));
  expect(loss).toBeNaN();
  expect(bytes().equals(before)).toBe(true);
});

describe('what chance decides', () => {
  const draw = (step: number) => tensorsOf(learning.feedsOf(KEY, step, batch));

  test('depends on key and step alone', () => {
    expect(draw(7)).toEqual(draw(7));
    for (const part of ['noise', 't']) expect(draw(8).get(part)).not.toEqual(draw(7).get(part));
  });

  test('hides the class as often as the model says, for each embedder on its own', () => {
    const drops = Array.from({ length: 1000 }, (_, step) => draw(step).get('dropped') as HostTensor<'bool'>);
    expect(drops[0]!.shape).toEqual([model.labelEmbedders, 4]);
    const hidden = drops.reduce((sum, { data }) => sum + data.reduce((count, drop) => count + drop, 0), 0);
    // 12,000 draws: a standard deviation is 0.004.
    expect(hidden / (1000 * model.labelEmbedders * 4)).toBeCloseTo(0.25, 1.5);
    const [first, second] = [0, 1].map((embedder) => drops.map(({ data }) => data[embedder * 4]));
    expect(first).not.toEqual(second);
  });
});
