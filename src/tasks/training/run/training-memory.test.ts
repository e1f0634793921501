import { expect, test } from 'vitest';
import { tinyConfig } from '../../../../test/support/tiny-training.ts';
import { ConfigError } from '../../../core/errors.ts';
import { countParameters } from '../../../networks/nn/module.ts';
import { createModel } from '../../../networks/registry.ts';
import type { ConfigLayer } from '../config/config-layer.ts';
import { modelOfConfig } from '../config/model-for-data.ts';
import { learningOf } from './trainee.ts';
import { expectEnoughMemory } from './training-memory.ts';

function check(limit: number, ...changes: readonly ConfigLayer[]) {
  const config = tinyConfig(...changes);
  return expectEnoughMemory(learningOf(modelOfConfig(config), config), config, 'cpu', limit);
}

const memoryOf = (...changes: readonly ConfigLayer[]) => check(Number.POSITIVE_INFINITY, ...changes);
const training = (batchSize: number, shards = 1): ConfigLayer => ({ training: { batchSize, shards } });

function refusal(limit: number, ...changes: readonly ConfigLayer[]): string {
  try {
    check(limit, ...changes);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).message;
  }
  return expect.unreachable();
}

test('the state is weights, gradients, two moments and the average in four bytes each', () => {
  const count = countParameters(createModel(modelOfConfig(tinyConfig())).parameters());
  expect(memoryOf(training(4)).state).toBe(5 * 4 * count);
  expect(memoryOf(training(4, 2)).state).toBe(6 * 4 * count);
  expect(memoryOf(training(4), { optimizer: { kind: 'sgd' }, averages: [] }).state).toBe(3 * 4 * count);
});

test('a step grows with its batch, however that is cut, and the state does not', () => {
  const [four, eight] = [memoryOf(training(4)), memoryOf(training(8))];
  expect(eight.state).toBe(four.state);
  expect(eight.step / four.step).toBeCloseTo(2, 1);
  expect(memoryOf(training(8, 2)).step / eight.step).toBeCloseTo(1, 1);
});

test('classes that no memory suffices for', () => {
  expect(refusal(8e9, { model: { numClasses: 1e9 } })).toMatchInlineSnapshot(`
    "ConfigError: training: it needs at least 1.34 TB of memory, there are 8.00 GB
      weights, gradients, optimizer, averages  1.34 TB
      a step of 4 images                       12.3 kB
      fix: use fewer parameters: fewer classes or a smaller width"
  `);
});

test('a batch that no memory suffices for', () => {
  expect(refusal(8e9, training(1e8))).toMatchInlineSnapshot(`
    "ConfigError: training: it needs at least 307 GB of memory, there are 8.00 GB
      weights, gradients, optimizer, averages  2.50 MB
      a step of 100000000 images               307 GB
      fix: use a smaller --global-batch-size, --image-size or model, or parts of the batch: --set training.microBatch=2"
  `);
});

test('a width that no memory suffices for', () => {
  expect(refusal(8e9, { model: { width: 2 ** 20 } })).toContain('use fewer parameters');
});

test('pictures whose tables alone no memory suffices for', () => {
  expect(refusal(8e9, { data: { imageSize: 2 ** 17 } })).toContain('a smaller --global-batch-size');
});

test('what fits exactly is no trouble', () => {
  const { state, step } = memoryOf();
  expect(check(state + step)).toEqual({ state, step });
  expect(refusal(state + step - 1)).toContain('it needs at least');
});

test('a GPU computes in memory of its own', () => {
  const { state, step } = memoryOf();
  const config = tinyConfig();
  const onGpu = expectEnoughMemory(
    learningOf(modelOfConfig(config), config),
    config,
    'cuda',
    state + step - 1,
  );
  expect(onGpu).toMatchObject({ state });
});
