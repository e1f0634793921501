/** @file A path or name on the command line that does not exist is wrong usage; a fault in an existing file is a failure. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EXIT_CODES } from '../src/cli/failures.ts';
import { runUdit } from './support/run-udit.ts';
import { tinyCard, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

const home = process.cwd();
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit absent '));
  await writeTinyCheckpoint(join(root, 'tiny.safetensors'), tinyCard());
  await mkdir(join(root, 'empty'));
  await sharp({ create: { width: 8, height: 8, channels: 3, background: 'black' } }).toFile(
    join(root, 'black.png'),
  );
  for (const name of ['damaged.safetensors', 'damaged.npz', 'damaged.npy', 'damaged.png', 'damaged.pt']) {
    await writeFile(join(root, name), new Uint8Array(100));
  }
  await writeFile(
    join(root, 'model.safetensors.index.json'),
    JSON.stringify({ weight_map: { 'a.weight': 'model-00001-of-00001.safetensors' } }),
  );
  process.chdir(root);
});
afterAll(async () => {
  process.chdir(home);
  await rm(root, { recursive: true });
});

const TRAIN = ['train', '--dry-run'];
const SAMPLE = ['sample', 'tiny.safetensors', '--count', '1', '--no-cache'];

test.each([
  [...TRAIN, '--data-path', 'nosuch'],
  [...TRAIN, '--data-path', 'nosuch/photos'],
  [...TRAIN, '--config', 'nosuch.json'],
  [...TRAIN, '--resume', 'runs/nosuch'],
  [...TRAIN, '--init-from', 'nosuch.safetensors'],
  [...TRAIN, '--init-from', 'runs/nosuch'],
  [...TRAIN, '--autoencoder', 'nosuch.pt', '--data-path', 'emoji'],
  ['data', 'nosuch'],
  ['sample', 'nosuch'],
  ['sample', 'nosuch.pt'],
  ['sample', 'runs/nosuch'],
  ['sample', 'nosuch.safetensors.index.json'],
  ['sample', 'nosuch-00001-of-00002.safetensors'],
  [...SAMPLE, '--noise', 'nosuch.npy'],
  [...SAMPLE, '--init-image', 'nosuch.png'],
  [...SAMPLE, '--init-image', 'black.png', '--mask', 'nosuch.png'],
  ['inspect', 'nosuch'],
  ['inspect', 'nosuch.pt'],
  ['inspect', 'nosuch.json'],
  ['inspect', 'runs/nosuch'],
  ['inspect', 'nosuch.safetensors', '--spectrum', 'a.svg'],
  ['export', 'nosuch', '--out', 'a.onnx'],
  ['encode', 'nosuch', '--out', 'latents'],
  ['encode', 'emoji', '--autoencoder', 'nosuch.safetensors', '--out', 'latents'],
  ['evaluate', 'nosuch', 'nosuch', '--metrics', 'swd'],
  ['evaluate', 'emoji', 'nosuch.npz', '--metrics', 'swd'],
  ['evaluate', 'nosuch.npz', 'nosuch.npz', '--metrics', 'swd'],
  ['evaluate', 'emoji', 'emoji', '--extractor', 'nosuch.pt'],
  ['plot', 'runs/nosuch'],
  ['plot', 'nosuch.jsonl'],
  ['ablate', 'nosuch.json'],
  ['fetch', 'nosuch'],
  ['bench', '--task', 'forward', '--model', 'nosuch'],
  ['bench', '--task', 'forward', '--peer-python', 'nosuch/python'],
])('wrong usage: %s %s %s %s %s', async (...args) => {
  const { code, out, err } = await runUdit(args, root);
  expect({ code, out, err }).toEqual({
    code: EXIT_CODES.usage,
    out: '',
    err: expect.stringContaining('nosuch'),
  });
});

test.each([
  [...TRAIN, '--data-path', 'empty'],
  ['data', 'empty'],
  ['sample', 'damaged.safetensors'],
  ['sample', 'damaged.pt'],
  ['sample', 'empty'],
  ['sample', 'model.safetensors.index.json'],
  [...SAMPLE, '--noise', 'damaged.npy'],
  [...SAMPLE, '--init-image', 'damaged.png'],
  ['evaluate', 'emoji', 'empty', '--metrics', 'swd'],
  ['evaluate', 'emoji', 'damaged.npz', '--metrics', 'swd'],
])('a failure: %s %s %s %s', async (...args) => {
  const { code, err } = await runUdit(args, root);
  expect({ code, err }).toEqual({ code: EXIT_CODES.failure, err: expect.stringMatching(/^\w+Error: /) });
});
