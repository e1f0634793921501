/** @file Images on the way from one to another, on models whose samples are known in closed form. */
import { afterAll, expect, test } from 'vitest';
import { OnePicturePerClass, pictureValue, pictureWeights } from '../../../test/support/analytic-denoiser.ts';
import { expectClose } from '../../../test/support/closeness.ts';
import { NormalPixels } from '../../../test/support/normal-pixels.ts';
import { randomWeights, tinySpec } from '../../../test/support/tiny-checkpoint.ts';
import { noiseLevelAt } from '../../diffusion/noise-level.ts';
import { createObjective, type ObjectiveSpec } from '../../diffusion/objectives.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import { createModel } from '../../networks/registry.ts';
import { imageKey, imageNoise } from './image-noise.ts';
import { createSampler, type ImageSampler, type SampledModel, type SamplerOptions } from './sample.ts';

const opened: ImageSampler[] = [];
async function open(saved: SampledModel, options: Partial<SamplerOptions>): Promise<ImageSampler> {
  const sampler = await createSampler(saved, { backend: cpuBackend, workers: 1, ...options });
  opened.push(sampler);
  return sampler;
}
afterAll(async () => {
  for (const sampler of opened) await sampler.release();
});

// Data that is normal with mean μ and deviation s: the ODE makes μ + (s / √V) (x − α μ) of x, with V = α² s² + σ².
const data = { mean: 0.3, deviation: 0.5 };
const NORMAL: readonly { objective: ObjectiveSpec; options: Partial<SamplerOptions>; time: number }[] = [
  { objective: { kind: 'flow' }, options: { sampler: 'heun', steps: 32 }, time: 0 },
  { objective: { kind: 'flow', path: 'gvp' }, options: { sampler: 'heun', steps: 48 }, time: 0 },
  {
    objective: { kind: 'gaussian', variance: 'fixed-small' },
    options: { sampler: 'ddim', steps: 200, clip: false },
    time: 999,
  },
];

test.each(NORMAL)('$objective: normal data is drawn on an arc between two noises', async (given) => {
  const { objective, options, time } = given;
  const saved = { network: new NormalPixels(data, objective), weights: new Map(), card: { objective } };
  const sampler = await open(saved, { ...options, cfgScale: 1, batchSize: 2 });
  const weights = [0, 0.25, 1];
  const drawn = await sampler.generate({
    ...{ labels: [0, 0, 0], indices: [4, 4, 4], seed: 5 },
    towards: { labels: [0, 0, 0], indices: [2, 2, 2], seed: 6, weights },
  });
  const noises = [imageKey(5, 4), imageKey(6, 2)].map((key) => imageNoise([key], [3, 2, 2], 'start').data);
  const [a, b] = noises as [Float32Array, Float32Array];
  const angle = Math.acos(
    a.reduce((sum, value, k) => sum + value * b[k]!, 0) / (Math.hypot(...a) * Math.hypot(...b)),
  );
  const { alpha, sigma } = noiseLevelAt(createObjective(objective), time);
  const shrinkage = data.deviation / Math.hypot(alpha * data.deviation, sigma);
  const expected = weights.flatMap((weight) =>
    Array.from(a, (value, k) => {
      const x = (Math.sin((1 - weight) * angle) * value + Math.sin(weight * angle) * b[k]!) / Math.sin(angle);
      return data.mean + shrinkage * (x - alpha * data.mean);
    }),
  );
  expectClose(drawn.data, expected, { relative: 0, absolute: 0.02 });
});

test.each([1, 3])('classes lie on a line between their embeddings, at guidance %d', async (cfgScale) => {
  const saved: SampledModel = {
    network: new OnePicturePerClass(2),
    weights: pictureWeights(2),
    card: { objective: { kind: 'flow' } },
  };
  const sampler = await open(saved, {
    sampler: 'euler',
    steps: 4,
    cfgScale,
    mixesClasses: true,
    batchSize: 2,
  });
  const weights = [0, 0.25, 0.5, 1];
  const ends = { labels: [0, 0, 0, 0], seed: 1 };
  const drawn = await sampler.generate({ ...ends, towards: { ...ends, labels: [1, 1, 1, 1], weights } });
  const expected = weights.flatMap((weight) =>
    Array.from({ length: 12 }, (_, k) => {
      const withClass = (1 - weight) * pictureValue(0, k) + weight * pictureValue(1, k);
      const without = pictureValue(2, k);
      return without + cfgScale * (withClass - without);
    }),
  );
  expectClose(drawn.data, expected, { relative: 1e-5, absolute: 1e-6 });
});

test.each([
  { card: { objective: { kind: 'flow' } }, options: { sampler: 'heun', cfgScale: 3 } },
  { card: { objective: { kind: 'flow' } }, options: { sampler: 'sde-euler', cfgScale: 1 } },
  { card: { objective: { kind: 'gaussian' } }, options: { sampler: 'ddpm', cfgScale: 2 } },
] as const)('$options: both ends are the ordinary images, byte for byte', async ({ card, options }) => {
  const spec = tinySpec({ learnSigma: card.objective.kind === 'gaussian' });
  const saved = { network: createModel(spec), weights: randomWeights(spec, 1), card };
  const ordinary = await open(saved, { ...options, steps: 3 });
  const mixing = await open(saved, { ...options, steps: 3, mixesClasses: true });
  const first = { labels: [0, 2], indices: [3, 4], seed: 5 };
  const second = { labels: [1, 2], indices: [6, 7], seed: 8 };
  const onTheWay = (weight: number) =>
    mixing.generate({ ...first, towards: { ...second, weights: [weight, weight] } });
  const between = await onTheWay(0.5);
  expect((await onTheWay(0)).data).toEqual((await ordinary.generate(first)).data);
  expect((await onTheWay(1)).data).toEqual((await ordinary.generate(second)).data);
  expect((await mixing.generate(first)).data).toEqual((await ordinary.generate(first)).data);
  expect(between.data).not.toEqual((await onTheWay(0)).data);
});

test('ways that cannot be drawn are refused', async () => {
  const objective = { kind: 'flow' } as const;
  const saved: SampledModel = {
    network: new OnePicturePerClass(2),
    weights: pictureWeights(2),
    card: { objective },
  };
  const sampler = await open(saved, { steps: 4 });
  const draw = (towards: { labels: number[]; weights: number[]; seed?: number }) =>
    sampler.generate({ labels: [0, 0], seed: 0, towards: { seed: 0, ...towards } });
  await expect(draw({ labels: [0, 1], weights: [0, 0.5] })).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: towards: image 1 goes from class 0 to 1, and the sampler draws one class at a time
      fix: create it with mixesClasses: true, or give both ends the same class]
  `);
  await expect(draw({ labels: [0], weights: [0, 0.5] })).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: towards: 1 labels are given for 2 images
      fix: give one per image]
  `);
  await expect(draw({ labels: [0, 0], weights: [0, 1.5] })).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: towards: a weight is 1.5
      fix: use numbers from 0 to 1]
  `);
  await expect(draw({ labels: [0, 0], weights: [0, 1], seed: -1 })).rejects.toThrow('the seed is -1');
  const deaf = { network: new NormalPixels(data, objective), weights: new Map(), card: { objective } };
  await expect(
    createSampler(deaf, { backend: cpuBackend, mixesClasses: true }),
  ).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: mixesClasses: this network does not mix classes: it passes over \`towards\` of its condition
      fix: give it to its label embedder, or draw one class at a time]
  `);
});
