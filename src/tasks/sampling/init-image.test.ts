/** @file Images drawn from an image, on models whose samples are known in closed form. */
import { afterAll, expect, test } from 'vitest';
import { OnePicturePerClass, pictureValue, pictureWeights } from '../../../test/support/analytic-denoiser.ts';
import { expectClose } from '../../../test/support/closeness.ts';
import { NormalPixels } from '../../../test/support/normal-pixels.ts';
import { type HostTensor, tensorOf } from '../../core/host-tensor.ts';
import { noiseLevelAt } from '../../diffusion/noise-level.ts';
import { createObjective } from '../../diffusion/objectives.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import { imageKey, imageNoise } from './image-noise.ts';
import { createSampler, type ImageSampler, type SampledModel, type SamplerOptions } from './sample.ts';

const SHAPE = [3, 2, 2];
const SIZE = 12;
const image = tensorOf(
  'f32',
  SHAPE,
  Array.from({ length: SIZE }, (_, k) => k / 10 - 0.5),
);
/** The upper left and the lower right pixel are drawn anew. */
const mask = tensorOf('f32', [2, 2], [1, 0, 0, 1]);
const isAnew = (k: number): boolean => mask.data[k % 4] === 1;
const noiseOf = (index: number, seed: number): HostTensor<'f32'> =>
  imageNoise([imageKey(seed, index)], SHAPE, 'start');

const opened: ImageSampler[] = [];
async function open(saved: SampledModel, options: Partial<SamplerOptions>): Promise<ImageSampler> {
  const sampler = await createSampler(saved, { backend: cpuBackend, workers: 1, cfgScale: 1, ...options });
  opened.push(sampler);
  return sampler;
}
afterAll(async () => {
  for (const sampler of opened) await sampler.release();
});

// Data that is normal with mean μ and deviation s: the ODE makes μ + (s / √V) (x − α μ) of x, with V = α² s² + σ².
const data = { mean: 0.3, deviation: 0.5 };

test.each([
  { objective: { kind: 'flow' }, sampler: 'heun', steps: 32 },
  { objective: { kind: 'flow', path: 'gvp' }, sampler: 'heun', steps: 48 },
  { objective: { kind: 'gaussian', variance: 'fixed-small' }, sampler: 'ddim', steps: 200 },
] as const)('$objective: an image under noise is led to normal data', async ({ objective, ...options }) => {
  const strength = 0.5;
  const network = new NormalPixels(data, objective);
  const saved = { network, weights: new Map(), card: { objective } };
  const sampler = await open(saved, {
    ...options,
    strength,
    batchSize: 2,
    clip: options.sampler === 'ddim' ? false : undefined,
  });
  const drawn = await sampler.generate({ labels: [0, 0, 0], seed: 5, init: { image } });
  const { alpha, sigma } = noiseLevelAt(createObjective(objective), objective.kind === 'flow' ? 0.5 : 498);
  const shrinkage = data.deviation / Math.hypot(alpha * data.deviation, sigma);
  const expected = [0, 1, 2].flatMap((index) =>
    Array.from(noiseOf(index, 5).data, (noise, k) => {
      const x = alpha * image.data[k]! + sigma * noise;
      return data.mean + shrinkage * (x - alpha * data.mean);
    }),
  );
  expectClose(drawn.data, expected, { relative: 0, absolute: 0.02 });
});

const flow: SampledModel = {
  network: new OnePicturePerClass(2),
  weights: pictureWeights(2),
  card: { objective: { kind: 'flow' } },
};

test('what a mask keeps is the image exactly, and its way there is known at every step', async () => {
  const seen: number[][] = [];
  const sampler = await open(flow, { sampler: 'euler', shift: 1, steps: 4, strength: 0.75 });
  const images = await sampler.generate({ labels: [1, 0], seed: 2, init: { image, mask } });
  const expected = [1, 0].flatMap((label) =>
    Array.from(image.data, (value, k) => (isAnew(k) ? pictureValue(label, k) : value)),
  );
  expectClose(images.data, expected, { relative: 1e-6 });
  expect(Array.from(images.data.subarray(0, SIZE)).filter((_, k) => !isAnew(k))).toEqual(
    Array.from(image.data).filter((_, k) => !isAnew(k)),
  );
  // Told 1000 t the network sees x + (d − x)(1 − t) / (1 − 1000 t), which shows x: t image + (1 − t) noise where it is kept.
  const stretched: SampledModel = { ...flow, card: { objective: { kind: 'flow', timeScale: 1000 } } };
  const watched = await open(stretched, { sampler: 'euler', shift: 1, steps: 4 });
  await watched.generate({
    ...{ labels: [1], indices: [6], seed: 2, init: { image, mask } },
    onStep: ({ x0 }) => seen.push(Array.from(x0.data)),
  });
  const noise = noiseOf(6, 2).data;
  const [kept] = [...image.data.keys()].filter((k) => !isAnew(k));
  const shown = [0, 0.25, 0.5, 0.75].map((t) => {
    const x = t * image.data[kept!]! + (1 - t) * noise[kept!]!;
    return x + ((pictureValue(1, kept!) - x) * (1 - t)) / (1 - 1000 * t);
  });
  expectClose(
    seen.map((x0) => x0[kept!]!),
    shown,
    { relative: 1e-5 },
  );
});

test('dopri5 begins with the image too', async () => {
  const sampler = await open(flow, { sampler: 'dopri5', strength: 0.5 });
  const began: number[] = [];
  const images = await sampler.generate({
    ...{ labels: [1], seed: 2, init: { image } },
    onStep: ({ share }) => began.push(share),
  });
  expectClose(
    images.data,
    Array.from({ length: SIZE }, (_, k) => pictureValue(1, k)),
    { relative: 1e-2 },
  );
  await expect(
    sampler.generate({ labels: [1], seed: 2, init: { image, mask } }),
  ).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: init: a mask is kept step by step, but this sampler chooses its steps on the way
      fix: use a sampler of given steps such as heun, or leave the mask out]
  `);
});

test('images and masks that do not fit are refused, and a strength without an image', async () => {
  const sampler = await open(flow, { steps: 4, strength: 0.75 });
  const draw = (init?: Parameters<ImageSampler['generate']>[0]['init']) =>
    sampler.generate({ labels: [0], seed: 0, init });
  await expect(draw()).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: init: drawing begins at strength 0.75, with an image under noise, and none is given
      fix: give an image, or leave the strength out]
  `);
  await expect(
    draw({ image: tensorOf('f32', [1, 2, 2], [0, 0, 0, 0]) }),
  ).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: init: the image has the shape [1,2,2], [3,2,2] is needed
      fix: give [channels, height, width] of what the model draws; the mask has no channels]
  `);
  await expect(draw({ image, mask: image })).rejects.toThrow(
    'the mask has the shape [3,2,2], [2,2] is needed',
  );
  await expect(draw({ image, mask: tensorOf('f32', [2, 2], [0, 0.5, 1, 1]) })).rejects.toThrow(
    'the mask holds 0.5',
  );
  await expect(
    draw({ image: tensorOf('f32', SHAPE, new Array<number>(SIZE).fill(Number.NaN)) }),
  ).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: init: the image holds NaN
      fix: give a finite image, and a mask of 0 (kept) and 1 (drawn anew)]
  `);
});
