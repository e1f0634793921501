import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  randomWeights,
  tinyCard,
  tinySpec,
  writeTinyCheckpoint,
} from '../../test/support/tiny-checkpoint.ts';
import { writeSafetensors } from '../formats/file-node.ts';
import { locateCheckpoint, openCheckpoint } from './bundled-node.ts';
import { cardMetadata } from './saved-model.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit checkpoints '));
  await mkdir(join(root, 'run', 'checkpoints'), { recursive: true });
  for (const step of ['0000900', '0001000', '10000000']) {
    await writeFile(join(root, 'run', 'checkpoints', `step-${step}.safetensors`), '');
  }
  await mkdir(join(root, 'empty', 'checkpoints'), { recursive: true });
});
afterAll(() => rm(root, { recursive: true }));

const messageOf = async (opening: Promise<unknown>): Promise<string> => {
  const error = await opening.then(
    () => new Error('nothing was thrown'),
    (thrown: Error) => thrown,
  );
  return error.message.replaceAll(root, 'ROOT');
};

describe('where a checkpoint is', () => {
  test('a run means its latest step, counted as a number', async () => {
    const latest = join(root, 'run', 'checkpoints', 'step-10000000.safetensors');
    expect(await locateCheckpoint(join(root, 'run'))).toBe(latest);
    expect(await locateCheckpoint(join(root, 'run', 'checkpoints'))).toBe(latest);
  });

  test('anything else is a file', async () => {
    expect(await locateCheckpoint(join(root, 'any.safetensors'))).toBe(join(root, 'any.safetensors'));
  });

  test('nothing is the bundled model', async () => {
    const bundled = join(root, 'run', 'checkpoints', 'step-0000900.safetensors');
    expect(await locateCheckpoint(undefined, bundled)).toBe(bundled);
  });

  test('a pipeline of diffusers has its weights in a folder of its parts', async () => {
    const path = join(root, 'pipeline', 'transformer', 'diffusion_pytorch_model.safetensors');
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, '');
    expect(await locateCheckpoint(join(root, 'pipeline'))).toBe(path);
  });

  test('a folder without checkpoints', async () => {
    expect(await messageOf(locateCheckpoint(join(root, 'empty')))).toMatchInlineSnapshot(`
      "CheckpointError: ROOT/empty: there is no checkpoint in this folder: checkpoints/step-….safetensors is looked for
        fix: train the run until it has written one, or give a .safetensors or .pt file"
    `);
  });

  test('a bundled model that is not there', async () => {
    expect(
      await messageOf(locateCheckpoint(undefined, join(root, 'none.safetensors'))),
    ).toMatchInlineSnapshot(`
      "CheckpointError: bundled model: ROOT/none.safetensors is missing
        fix: give a run folder or a checkpoint, such as one that udit start trains"
    `);
  });
});

describe('which weights are opened', () => {
  const firstWeightOf = async (...args: Parameters<typeof openCheckpoint>) => {
    const { weights, source } = await openCheckpoint(...args);
    return [source, weights.get('x_embedder.proj.weight')!.data[0]];
  };

  test('the average, or those asked for', async () => {
    const path = join(root, 'both.safetensors');
    await writeTinyCheckpoint(path, tinyCard());
    const [model, ema] = [1, 2].map(
      (seed) => randomWeights(tinySpec(), seed).get('x_embedder.proj.weight')!.data[0],
    );
    expect(await firstWeightOf(path)).toEqual(['ema', ema]);
    expect(await firstWeightOf(path, { weights: 'ema' })).toEqual(['ema', ema]);
    expect(await firstWeightOf(path, { weights: 'model' })).toEqual(['model', model]);
  });

  test('others than the file has', async () => {
    const path = join(root, 'average.safetensors');
    const metadata = { ...cardMetadata(tinyCard()), weights: 'ema' };
    await writeSafetensors(path, randomWeights(tinySpec(), 2), metadata);
    expect((await openCheckpoint(path)).source).toBe('ema');
    expect(await messageOf(openCheckpoint(path, { weights: 'model' }))).toMatchInlineSnapshot(`
      "CheckpointError: ROOT/average.safetensors: it has ema weights only, but --weights model is requested
        fix: use --weights ema"
    `);
  });
});
