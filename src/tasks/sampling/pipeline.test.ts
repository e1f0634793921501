import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OnePicturePerClass, pictureWeights } from '../../../test/support/analytic-denoiser.ts';
import { type HostTensor, tensorOf } from '../../core/host-tensor.ts';
import { toPixels } from '../../data/images/pixels.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import {
  createPipeline,
  type LatentDecoder,
  type PictureBatch,
  type Pipeline,
  type PipelineOptions,
} from './pipeline.ts';
import type { SampledModel } from './sample.ts';
import { drawInto, pixelsOf, type Sink } from './sinks/sink.ts';

const CLASSES = 3;
const saved: SampledModel = {
  network: new OnePicturePerClass(CLASSES),
  weights: pictureWeights(CLASSES),
  card: { objective: { kind: 'flow' } },
};
const options = { backend: cpuBackend, sampler: 'euler', steps: 2, cfgScale: 1, batchSize: 2 } as const;
const request = { labels: [2, 0, 1, 1, 2], seed: 3 };

let pipeline: Pipeline;
beforeAll(async () => {
  pipeline = await createPipeline(saved, options);
});
afterAll(() => pipeline.release());

async function batchesOf(
  from: Pipeline,
  asked: Parameters<Pipeline['pictures']>[0],
): Promise<PictureBatch[]> {
  const batches: PictureBatch[] = [];
  for await (const batch of from.pictures(asked)) batches.push(batch);
  return batches;
}

test('pixels come batch by batch with their classes', async () => {
  const batches = await batchesOf(pipeline, request);
  expect(batches.map(({ first, labels }) => ({ first, labels }))).toEqual([
    { first: 0, labels: [2, 0] },
    { first: 2, labels: [1, 1] },
    { first: 4, labels: [2] },
  ]);
  const all = toPixels(await pipeline.sampler.generate(request));
  expect(batches.flatMap(({ pictures }) => Array.from(pictures.data as Uint8Array))).toEqual([...all.data]);
  expect(pipeline.space).toEqual({ kind: 'pixels' });
  expect(pipeline.pictureShape).toEqual([2, 2, 3]);
});

test('options that are none, missing or unknown are errors, as on the command line', async () => {
  const create = (given: unknown) => createPipeline(saved, given as PipelineOptions);
  await expect(create(undefined)).rejects.toThrow('createPipeline: the option backend is missing');
  await expect(create({ ...options, stepz: 3 })).rejects.toThrow('there is no option stepz');
  await expect(create({ ...options, sampler: 'eulr' })).rejects.toThrow('sampler is "eulr"');
  const asked = { ...request, indizes: [1] };
  await expect(pipeline.sampler.generate(asked)).rejects.toThrow('did you mean indices?');
  await expect(batchesOf(pipeline, asked)).rejects.toThrow('did you mean indices?');
});

test('what is there already is not drawn, and the rest is as it would be', async () => {
  const all = await batchesOf(pipeline, request);
  const drawn: number[] = [];
  const rest = await batchesOf(pipeline, {
    ...request,
    isNeeded: ({ first }) => first !== 2,
    onStep: ({ first }) => drawn.push(first),
  });
  expect(rest).toEqual([all[0], all[2]]);
  expect(new Set(drawn)).toEqual(new Set([0, 4]));
});

describe('latents', () => {
  const ofLatents: SampledModel = {
    ...saved,
    network: new OnePicturePerClass(CLASSES, 0.1, 4),
    weights: pictureWeights(CLASSES, 4),
  };
  /** Takes three of the channels, and each value twice in both directions. */
  const decoder: LatentDecoder = {
    decodedShape: ([, height, width]) => [3, 2 * height!, 2 * width!],
    async decode({ shape, data }) {
      const [count, channels, height, width] = shape as [number, number, number, number];
      const values: number[] = [];
      for (let n = 0; n < count; n++)
        for (let c = 0; c < 3; c++)
          for (let y = 0; y < 2 * height; y++)
            for (let x = 0; x < 2 * width; x++)
              values.push(data[((n * channels + c) * height + (y >> 1)) * width + (x >> 1)]!);
      return tensorOf('f32', [count, 3, 2 * height, 2 * width], values);
    },
  };

  test('are handed out as they are without an autoencoder', async () => {
    const latents = await createPipeline(ofLatents, options);
    const [batch] = await batchesOf(latents, { labels: [1], seed: 0 });
    expect(batch!.pictures).toEqual(await latents.sampler.generate({ labels: [1], seed: 0 }));
    expect([latents.space.kind, latents.pictureShape]).toEqual(['latents', [4, 2, 2]]);
    await latents.release();
  });

  test('become pictures through one', async () => {
    const decoded = await createPipeline(ofLatents, { ...options, autoencoder: decoder });
    const [batch] = await batchesOf(decoded, { labels: [1], seed: 0 });
    const latents = await decoded.sampler.generate({ labels: [1], seed: 0 });
    expect(batch!.pictures).toEqual(toPixels(await decoder.decode(latents)));
    expect([decoded.space.kind, decoded.pictureShape]).toEqual(['pixels', [4, 4, 3]]);
    await decoded.release();
  });

  test('have nothing to be decoded from where a model draws pixels', async () => {
    await expect(
      createPipeline(saved, { ...options, autoencoder: decoder }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: createPipeline: an autoencoder is given for a model that draws pixels, not latents
        fix: leave the autoencoder out]
    `);
  });
});

describe('sinks of one loop', () => {
  const recording = (log: string[], name: string, failAt?: number): Sink => ({
    put: async ({ first }) => {
      if (first === failAt) throw new Error(`${name} is full`);
      log.push(`${name} ${first}`);
    },
    close: async () => {
      log.push(`${name} closed`);
      return { paths: [name] };
    },
    abandon: async () => {
      log.push(`${name} abandoned`);
    },
  });

  test('all take each batch, then are closed', async () => {
    const log: string[] = [];
    const steps: number[] = [];
    const counting: Sink = { ...recording(log, 'b'), onStep: ({ first }) => steps.push(first) };
    const results = await drawInto(pipeline, request, [recording(log, 'a'), counting]);
    expect(log).toEqual(['a 0', 'b 0', 'a 2', 'b 2', 'a 4', 'b 4', 'a closed', 'b closed']);
    expect(results).toEqual([{ paths: ['a'] }, { paths: ['b'] }]);
    expect(steps.toSorted()).toEqual([0, 0, 2, 2, 4, 4]);
  });

  test('one that fails ends all, and nothing is closed', async () => {
    const log: string[] = [];
    const drawing = drawInto(pipeline, request, [recording(log, 'a'), recording(log, 'b', 2)]);
    await expect(drawing).rejects.toThrow('b is full');
    expect(log).toEqual(['a 0', 'b 0', 'a 2', 'a abandoned', 'b abandoned']);
  });

  test('what cannot be shown is refused', () => {
    const latents: HostTensor<'f32'> = tensorOf('f32', [1, 4, 1, 1], [0, 0, 0, 0]);
    expect(() =>
      pixelsOf({ first: 0, labels: [0], pictures: latents }, 'sheetFile'),
    ).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sheetFile: latents of 4 channels cannot be shown as pictures
        fix: give the pipeline an autoencoder, or write the latents to an archive]
    `);
  });
});
