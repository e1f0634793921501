import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { npzOf } from '../../../test/support/npz.ts';
import { randomWeights, tinyDiTCard, tinyDiTSpec } from '../../../test/support/tiny-checkpoint.ts';
import { tinySamples } from '../../../test/support/tiny-training.ts';
import { USUAL_LATENTS } from '../../core/image-space.ts';
import { randomKey } from '../../core/random.ts';
import { loadBatch } from '../../data/datasets/samples.ts';
import { toPixels } from '../../data/images/pixels.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import { DINOv2 } from '../../networks/features/dinov2.ts';
import { initialise } from '../../networks/nn/initialise.ts';
import { createModel } from '../../networks/registry.ts';
import { evaluate } from './evaluate-node.ts';
import { modelPictures } from './model-pictures.ts';
import { trainingScores } from './training-scores-node.ts';

const network = new DINOv2({
  ...{ inputSize: 4, inChannels: 3, patchSize: 2, width: 8, depth: 1, heads: 2, positions: 2 },
});
const extractor = {
  ...{ name: 'tiny', identity: 'tiny, seed 3' },
  saved: { network, weights: initialise(network, network.initRule, randomKey(3)) },
};
const data = tinySamples();
const modelOf = (seed: number) => ({
  ...{ card: tinyDiTCard(), network: createModel(tinyDiTSpec()) },
  weights: randomWeights(tinyDiTSpec(), seed),
});
const options = {
  data,
  metrics: ['mind'],
  count: 6,
  seed: 5,
  extractor,
  backend: cpuBackend,
  threads: 1,
} as const;

test('are those of an evaluation against the pictures of the data', async () => {
  const root = await mkdtemp(join(tmpdir(), 'udit-scores-'));
  const reference = join(root, 'data.npz');
  const indices = Array.from({ length: data.length }, (_, i) => i);
  const { x } = await loadBatch(data, indices, null);
  await writeFileAtomic(reference, [await npzOf(new Map([['arr_0', toPixels(x)]]))]);
  const score = trainingScores(options);
  const [first, again, other] = [await score(modelOf(1)), await score(modelOf(1)), await score(modelOf(2))];
  await score.release();
  const { scores } = await evaluate({
    ...{ ...options, reference, samples: 'model', folder: null },
    openModel: () =>
      modelPictures(modelOf(1), {
        ...{ name: 'model', count: 6, seed: 5, weights: '', backend: cpuBackend, cores: 1 },
      }),
  });
  expect(first.scores).toEqual({ mind: scores[0]!.value });
  expect(again).toEqual(first);
  expect(other.scores.mind).not.toBe(first.scores.mind);
  expect(other.provenance).toBe(first.provenance);
  await rm(root, { recursive: true });
});

test('need pictures, and for SWD some that are large enough', () => {
  const latents = { ...data, space: USUAL_LATENTS };
  expect(() => trainingScores({ ...options, data: latents })).toThrowError('tiny holds latents');
  expect(() => trainingScores({ ...options, metrics: ['swd'] })).toThrowError(
    'SWD needs pictures of 16 pixels',
  );
});
