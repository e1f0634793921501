import { afterEach, expect, test } from 'vitest';
import { tinyConfig, tinySamples } from '../../../../test/support/tiny-training.ts';
import type { TensorMap } from '../../../core/host-tensor.ts';
import { randomKey } from '../../../core/random.ts';
import { createObjective } from '../../../diffusion/objectives.ts';
import { cpuBackend } from '../../../engine/runtime/cpu-node.ts';
import { initialise, normalWith } from '../../../networks/nn/initialise.ts';
import { createModel } from '../../../networks/registry.ts';
import { layerOf } from '../config/config-layer.ts';
import { modelForData } from '../config/model-for-data.ts';
import { measuredDenoising } from '../step/denoising.ts';
import { HeldOutLoss } from './held-out-loss.ts';

const compiled: HeldOutLoss[] = [];
afterEach(async () => {
  for (const loss of compiled.splice(0)) await loss.release();
});

const dataset = tinySamples(10);
const configOf = (kind: string) => tinyConfig(layerOf('objective.kind', kind));

function modelOf(kind: string) {
  const config = configOf(kind);
  return createModel(modelForData(config, dataset, createObjective(config.objective)));
}

const weightsOf = (kind: string, seed: number): TensorMap =>
  initialise(modelOf(kind), () => normalWith(0.1), randomKey(seed));

async function compile(kind: string, batchSize: number, data = dataset): Promise<HeldOutLoss> {
  const objective = createObjective(configOf(kind).objective);
  const measuring = measuredDenoising(modelOf(kind), objective);
  const loss = await HeldOutLoss.compile(measuring, data, batchSize, cpuBackend, { threads: 1 });
  compiled.push(loss);
  return loss;
}

test.each(['flow', 'gaussian'])('%s: the batch size changes it by rounding at most', async (kind) => {
  const weights = weightsOf(kind, 1);
  const [one, four, more] = await Promise.all(
    [1, 4, 16].map(async (batchSize) => (await compile(kind, batchSize)).measure(weights)),
  );
  expect(one).toBeGreaterThan(0.1);
  expect(four! / one!).toBeCloseTo(1, 5);
  expect(more! / one!).toBeCloseTo(1, 5);
});

test('it is the same each time, and another for other weights', async () => {
  const loss = await compile('flow', 4);
  const first = await loss.measure(weightsOf('flow', 1));
  expect(await loss.measure(weightsOf('flow', 1))).toBe(first);
  expect(await loss.measure(weightsOf('flow', 2))).not.toBe(first);
});

test('it stops between batches, and can be measured again', async () => {
  const loss = await compile('flow', 4);
  const stop = new AbortController();
  let read = 0;
  const stopping = {
    ...dataset,
    read: (...operands: Parameters<typeof dataset.read>) => {
      if (++read === 6) stop.abort();
      return dataset.read(...operands);
    },
  };
  const stopped = await compile('flow', 4, stopping);
  await expect(stopped.measure(weightsOf('flow', 1), 1, stop.signal)).rejects.toThrow('aborted');
  expect(read).toBe(8);
  expect(await stopped.measure(weightsOf('flow', 1))).toBe(await loss.measure(weightsOf('flow', 1)));
});

test('each picture counts once, also in a batch that is not full', async () => {
  const counted = new Map<number, number>();
  const recording = {
    ...dataset,
    read: (index: number, key: null, out: Float32Array) => {
      counted.set(index, (counted.get(index) ?? 0) + 1);
      // Only the last picture, alone in the last batch, differs from black.
      out.fill(index === 9 ? 100 : 0);
      expect(key).toBeNull();
    },
  };
  const loss = await compile('flow', 3, recording as typeof dataset);
  const zeros = initialise(modelOf('flow'), () => normalWith(0), randomKey(0));
  const measured = await loss.measure(zeros);
  // A model that predicts zero is wrong by the squared velocity: 100² for one picture of ten, noise for the others.
  expect(measured).toBeGreaterThan(990);
  expect(measured).toBeLessThan(1010);
  expect(counted.get(9)).toBe(3);
});

test('with more passes each picture has as many turns, all of them different', async () => {
  const loss = await compile('flow', 3);
  const weights = weightsOf('flow', 1);
  const [one, two] = [await loss.measure(weights), await loss.measure(weights, 2)];
  expect(two).not.toBe(one);
  expect(two / one).toBeCloseTo(1, 0);
  const counted = new Map<number, number>();
  const recording = {
    ...dataset,
    read: (index: number, _key: null, out: Float32Array) => {
      counted.set(index, (counted.get(index) ?? 0) + 1);
      out.fill(0);
    },
  };
  await (await compile('flow', 5, recording as typeof dataset)).measure(weights, 3);
  expect([...counted.values()]).toEqual(new Array(10).fill(3));
});
