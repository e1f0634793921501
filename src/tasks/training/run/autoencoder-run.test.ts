import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tinySamples } from '../../../../test/support/tiny-training.ts';
import { ConfigError } from '../../../core/errors.ts';
import { splitHeldOut } from '../../../data/datasets/split.ts';
import { cpuBackend } from '../../../engine/runtime/cpu-node.ts';
import { openModel } from '../../../models/open-node.ts';
import { reconstructionSheets } from '../../sampling/reconstruction-sheet-node.ts';
import { resolveRunConfig, resolveTrainConfig, trainsAutoencoder } from '../config/train-config.ts';
import { RunFolder } from './run-folder.ts';
import { traineeFor } from './trainee.ts';
import { runTraining } from './training-run.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit-autoencoder-'));
});
afterEach(() => rm(root, { recursive: true }));

const layers = [
  { model: { preset: 'autoencoder', levelChannels: [2, 4], factor: 2, latentChannels: 2, normGroups: 2 } },
  { data: { path: '/pictures', imageSize: 8 }, training: { steps: 6, batchSize: 4 } },
];

function tinyAutoencoderConfig() {
  const config = resolveRunConfig(layers);
  if (!trainsAutoencoder(config)) throw new Error('it trains a denoiser');
  return config;
}

const samples = tinySamples(12);
const data = splitHeldOut(samples, 0.3);

async function train(path: string, stopAfterStep?: number) {
  const config = tinyAutoencoderConfig();
  const pictures: Uint8Array[] = [];
  const draw = reconstructionSheets(data.heldOut, { threads: 1 });
  const result = await runTraining({
    config,
    trainee: traineeFor(config, samples),
    folder: await RunFolder.open(path),
    data,
    backend: cpuBackend,
    session: { threads: 1 },
    observer: {},
    drawSamples: async (...drawn) => {
      pictures.push(await draw(...drawn));
      return pictures.at(-1)!;
    },
    version: '1.2.3',
    ...(stopAfterStep === undefined ? {} : { stopAfterStep }),
  });
  return { ...result, pictures };
}

test('an autoencoder is trained, opened by its role, and shown beside its pictures', async () => {
  const { checkpoint, heldOut, pictures } = await train(join(root, 'run'));
  expect(heldOut!.last.loss).toBeLessThan(heldOut!.first.loss);
  const { card, network } = await openModel(checkpoint, { role: 'autoencoder' });
  expect(card).toMatchObject({
    role: 'autoencoder',
    name: 'autoencoder',
    step: 6,
    space: { kind: 'latents', factor: 2 },
  });
  expect(network.config).toMatchObject({ inputSize: 8, inChannels: 3, latentChannels: 2 });
  await expect(openModel(checkpoint)).rejects.toThrow('this file is an autoencoder; a denoiser is needed');
  expect(Buffer.from(pictures.at(-1)!).subarray(1, 4).toString()).toBe('PNG');
});

test('a run that stops and goes on has the bytes of one that did not', async () => {
  const { checkpoint } = await train(join(root, 'whole'));
  await train(join(root, 'parts'), 3);
  const { checkpoint: continued } = await train(join(root, 'parts'));
  expect((await readFile(continued)).equals(await readFile(checkpoint))).toBe(true);
});

test('where a denoiser is needed, an autoencoder is an error', () => {
  expect(() => resolveTrainConfig(layers)).toThrow(ConfigError);
  expect(() => resolveTrainConfig(layers)).toThrow('autoencoder is an autoencoder; a denoiser is needed');
});
