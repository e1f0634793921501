import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tinyAutoencoder } from '../../../test/support/tiny-autoencoder.ts';
import { tinyCard, tinySpec, writeTinyCheckpoint } from '../../../test/support/tiny-checkpoint.ts';
import type { HostTensor } from '../../core/host-tensor.ts';
import type { LatentSpace } from '../../core/image-space.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import { openModel } from '../../models/open-node.ts';
import type { SavedModel } from '../../models/saved-model.ts';
import { createDecoder } from '../sampling/latent-decoder.ts';
import { modelPictures } from './model-pictures.ts';

let root: string;
let saved: SavedModel;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit-model-pictures-'));
  const path = join(root, 'tiny.safetensors');
  await writeTinyCheckpoint(path, tinyCard());
  saved = await openModel(path);
});
afterAll(() => rm(root, { recursive: true }));

const options = {
  name: 'tiny',
  count: 11,
  seed: 3,
  weights: 'ema',
  backend: cpuBackend,
  steps: 2,
  batchSize: 4,
};

test('are an equal share of each class in a random order, and can be gone on with at any picture', async () => {
  const source = await modelPictures(saved, options);
  const pixelsFrom = async (start: number) => {
    const pixels: number[] = [];
    for await (const { data } of source.batches(start)) pixels.push(...data);
    return pixels;
  };
  const labels = Array.from(source.labels!);
  expect([0, 1, 2].map((label) => labels.filter((each) => each === label).length)).toEqual([4, 4, 3]);
  expect(labels).not.toEqual([...labels].sort());
  const all = await pixelsFrom(0);
  expect(all.length).toBe(11 * 8 * 8 * 3);
  const rest = await pixelsFrom(5);
  // Other neighbours in a batch round differently, by a level of 255 at most.
  expect(rest.length).toBe(6 * 8 * 8 * 3);
  for (const [i, level] of rest.entries())
    expect(Math.abs(level - all[5 * 8 * 8 * 3 + i]!)).toBeLessThanOrEqual(1);
  expect(source.identity).toMatchObject({ weights: 'ema', seed: 3, count: 11 });
  await source.close();
});

test('of latents need an autoencoder', async () => {
  const path = join(root, 'latents.safetensors');
  await writeTinyCheckpoint(path, tinyCard({ spec: tinySpec({ inChannels: 4 }) }));
  await expect(modelPictures(await openModel(path), options)).rejects.toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: tiny: it draws latents, which are no pictures
      fix: name the autoencoder that decodes them]
  `);
});

test('are decoded, where the model draws latents', async () => {
  const autoencoder = tinyAutoencoder();
  const { space } = autoencoder.card;
  const path = join(root, 'decoded.safetensors');
  await writeTinyCheckpoint(path, tinyCard({ spec: tinySpec({ inChannels: 4 }), space }));
  const model = await openModel(path);
  const decoder = await createDecoder(autoencoder, {
    drawn: { name: 'tiny', space: space as LatentSpace, config: { inChannels: 4 } },
    ...{ size: { height: 8, width: 8 }, backend: cpuBackend },
  });
  const source = await modelPictures(model, { ...options, decoding: { decoder, weights: 'tiny-kl' } });
  expect(source.size).toEqual({ height: 16, width: 16 });
  expect(source.provenance.decoder).toBe('tiny-kl');
  expect(source.identity).toMatchObject({ decoder: 'tiny-kl' });
  const { value } = await source.batches(9).next();
  expect((value as HostTensor).shape).toEqual([2, 16, 16, 3]);
  await source.close();
});
