import { expect, test } from 'vitest';
import { countParameters } from '../../networks/nn/module.ts';
import { presetSpec } from '../../networks/presets.ts';
import { createModel } from '../../networks/registry.ts';
import { workerBytes } from './worker-memory.ts';

// What workers take from the system is measured by bench/worker-memory.ts.

const model = createModel(presetSpec('U-DiT-XS'));
const WEIGHTS = 4 * countParameters(model.parameters());
/** Bytes of an image in the 32×32×32 feature maps of the first stage. */
const MAP = 4 * 32 ** 3;

test('a worker holds two copies of the weights, and several feature maps for each image with and without its class', () => {
  const imageBytes = workerBytes(model, 2) - workerBytes(model, 1);
  expect(imageBytes).toBeGreaterThan(2 * 2 * MAP);
  expect(workerBytes(model, 8)).toBeCloseTo(workerBytes(model, 1) + 7 * imageBytes, -2);
  const withoutImages = workerBytes(model, 1) - imageBytes;
  expect(withoutImages).toBeGreaterThan(2 * WEIGHTS);
  const larger = createModel(presetSpec('U-DiT-XS', { numClasses: 10_000 }));
  const added = 4 * countParameters(larger.parameters()) - WEIGHTS;
  expect(workerBytes(larger, 1) - workerBytes(model, 1)).toBeCloseTo(2 * added, -2);
});

test('with an interval of guidance it also holds a network that takes each image once', () => {
  const imageBytes = workerBytes(model, 2) - workerBytes(model, 1);
  const added = workerBytes(model, 4, { limited: true }) - workerBytes(model, 4);
  expect(added).toBeCloseTo(WEIGHTS + 4 * (imageBytes / 2), -2);
});
