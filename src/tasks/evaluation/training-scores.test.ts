import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { npzOf } from '../../../test/support/npz.ts';
import { tinyAutoencoder } from '../../../test/support/tiny-autoencoder.ts';
import { randomWeights, tinyDiTCard, tinyDiTSpec } from '../../../test/support/tiny-checkpoint.ts';
import { tinySamples } from '../../../test/support/tiny-training.ts';
import { hostTensor } from '../../core/host-tensor.ts';
import { USUAL_LATENTS } from '../../core/image-space.ts';
import { normal, randomKey } from '../../core/random.ts';
import { loadBatch, type Samples } from '../../data/datasets/samples.ts';
import { toPixels } from '../../data/images/pixels.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import { latentsOf } from '../../models/latent-kinship.ts';
import { DINOv2 } from '../../networks/features/dinov2.ts';
import { initialise } from '../../networks/nn/initialise.ts';
import { createModel } from '../../networks/registry.ts';
import { createDecoder } from '../sampling/latent-decoder.ts';
import type { RequestedSettings } from '../sampling/settings.ts';
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

test('of samples that are drawn as asked are comparable over objectives', async () => {
  const flow = modelOf(1);
  const gaussian = {
    ...flow,
    card: tinyDiTCard({ objective: { kind: 'gaussian', variance: 'fixed-small' } }),
  };
  const scored = async (sampling: RequestedSettings) => {
    const score = trainingScores({ ...options, sampling });
    try {
      return [await score(gaussian), await score(flow)] as const;
    } finally {
      await score.release();
    }
  };
  const few = await scored({ sampler: 'dpm++2m', steps: 2, cfgScale: 1 });
  expect(few[0].provenance).toBe(few[1].provenance);
  expect(few[0].scores).not.toEqual(few[1].scores);
  const more = await scored({ sampler: 'dpm++2m', steps: 3, cfgScale: 1 });
  expect(more[0].provenance).not.toBe(few[0].provenance);
  const own = await scored({ steps: 2 });
  expect(own[0].provenance).not.toBe(own[1].provenance);
});

test('of latents are those of what they decode to', async () => {
  const autoencoder = tinyAutoencoder();
  const space = latentsOf(autoencoder.card);
  const { latentChannels } = autoencoder.network.config;
  const spec = tinyDiTSpec({ inChannels: latentChannels });
  const shape = [latentChannels, 8, 8] as const;
  const values = normal(randomKey(9), 6 * latentChannels * 64);
  const latents: Samples = {
    ...{ ...data, name: 'encoded', space, shape, length: 6, labels: Array.from(data.labels).slice(0, 6) },
    read(index, _, out) {
      out.set(values.subarray(index * out.length, (index + 1) * out.length));
    },
  };
  const decoder = await createDecoder(autoencoder, {
    ...{ drawn: { name: 'encoded', space, config: { inChannels: latentChannels } }, backend: cpuBackend },
    size: { height: 8, width: 8 },
  });
  const decoding = { decoder, weights: 'tiny-kl' };
  const model = {
    ...{ card: { ...tinyDiTCard({ spec }), space }, network: createModel(spec) },
    weights: randomWeights(spec, 1),
  };
  const score = trainingScores({ ...options, data: latents, decoding });
  const { scores } = await score(model);
  // Nothing was released in between.
  expect((await score(model)).scores).toEqual(scores);
  await score.release();
  const x = hostTensor('f32', [6, ...shape], values);
  const real = toPixels(await decoder.decode(x));
  const root = await mkdtemp(join(tmpdir(), 'udit-scores-'));
  const reference = join(root, 'decoded.npz');
  await writeFileAtomic(reference, [await npzOf(new Map([['arr_0', real]]))]);
  const { scores: expected } = await evaluate({
    ...{ ...options, reference, samples: 'model', folder: null },
    openModel: () =>
      modelPictures(model, {
        ...{ name: 'model', count: 6, seed: 5, weights: '', backend: cpuBackend, cores: 1, decoding },
      }),
  });
  expect(scores.mind! / expected[0]!.value).toBeCloseTo(1, 6);
  await rm(root, { recursive: true });
});

test('against stored statistics are those against the pictures that these are of', async () => {
  const root = await mkdtemp(join(tmpdir(), 'udit-scores-'));
  const [pictures, path] = [join(root, 'data.npz'), join(root, 'data.safetensors')];
  const indices = Array.from({ length: data.length }, (_, i) => i);
  const { x } = await loadBatch(data, indices, null);
  await writeFileAtomic(pictures, [await npzOf(new Map([['arr_0', toPixels(x)]]))]);
  const samples = join(root, 'other.npz');
  await writeFileAtomic(samples, [
    await npzOf(new Map([['arr_0', toPixels({ ...x, data: x.data.map((value) => -value) })]])),
  ]);
  await evaluate({
    ...options,
    reference: pictures,
    samples,
    metrics: ['fid'],
    folder: null,
    saveStatistics: path,
  });
  const [direct, stored] = [
    trainingScores({ ...options, metrics: ['fid'] }),
    trainingScores({ ...options, metrics: ['fid'], reference: path }),
  ];
  const [first, second] = [await direct(modelOf(1)), await stored(modelOf(1))];
  await Promise.all([direct.release(), stored.release()]);
  expect(second.scores.fid! / first.scores.fid!).toBeCloseTo(1, 9);
  expect(second.provenance).toBe(first.provenance);
  expect(() => trainingScores({ ...options, reference: path })).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: logging.scoreReference: statistics do for fid and sfid, but mind needs the pictures themselves
      fix: leave mind out, or measure against the data]
  `);
  await rm(root, { recursive: true });
});

test('tell how often they run the network', () => {
  const { evaluations } = trainingScores(options);
  // Six pictures in 16 steps of DPM-Solver++ (the default of flows), with guidance and without.
  expect(evaluations(tinyDiTCard({ objective: { kind: 'flow' } }))).toBe(6 * 16 * 2);
});

test('need pictures, and for SWD some that are large enough', () => {
  const latents = { ...data, space: USUAL_LATENTS };
  expect(() => trainingScores({ ...options, data: latents })).toThrowError(
    'tiny holds latents, and there is nothing that decodes them',
  );
  expect(() => trainingScores({ ...options, metrics: ['swd'] })).toThrowError(
    'SWD needs pictures of 16 pixels',
  );
});
