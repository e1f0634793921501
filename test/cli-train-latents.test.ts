/** @file `udit train` from latents that others encoded, from the command line to the files of a run. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type HostTensor, tensorOf } from '../src/core/host-tensor.ts';
import { decodeRgb } from '../src/data/images/image-decode-node.ts';
import { openModel } from '../src/models/open-node.ts';
import { writeModel } from '../src/models/write-model-node.ts';
import { readStats } from '../src/tasks/training/run/stats-log.ts';
import { latentValues, npy, writeFiles } from './support/latent-files.ts';
import { writePictureFolder } from './support/picture-folder.ts';
import { runUdit } from './support/run-udit.ts';
import { tinyAutoencoder } from './support/tiny-autoencoder.ts';
import { TINY_DIT_FLAGS } from './support/tiny-training.ts';

let root: string;
let latents: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit latents '));
  latents = join(root, 'encoded');
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  const latent = (seed: number) =>
    tensorOf('f32', [1, 4, 8, 8], latentValues(seed, new Array(4).fill({ mean: 0, deviation: 1 }), 64));
  const label = (value: number) =>
    ({ dtype: 'i64', shape: [1], data: BigInt64Array.of(BigInt(value)) }) as HostTensor;
  for (let i = 0; i < 8; i++) {
    await writeFiles(latents, {
      [`imagenet256_features/${i}.npy`]: npy(latent(i)),
      [`imagenet256_labels/${i}.npy`]: npy(label(i % 2)),
    });
  }
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

test('a run on latents says what it found, measures, draws, and goes on', async () => {
  const flags = [
    'train',
    '--data-path',
    latents,
    '--results-dir',
    join(root, 'runs'),
    '--name',
    'a',
    ...TINY_DIT_FLAGS,
  ];
  const first = await runUdit([...flags, '--steps', '4', '--stop-after', '2', '--sample-every', '2'], root);
  expect(first.err).toContain('latents of fast-DiT; 8 pictures, classes: 2; 4×8×8');
  expect(first.err).toMatch(/step 2: held-out loss \d/);
  const sheet = await decodeRgb(join(root, 'runs/a/samples/step-0000002.png'), null);
  expect(sheet.image.width).toBeGreaterThan(32);
  const second = await runUdit(['train', '--resume', join(root, 'runs/a')], root);
  expect(second.out, second.err).toContain('finished at step 4');

  const { card, network } = await openModel(join(root, 'runs/a/checkpoints/step-0000004.safetensors'));
  expect(network.config).toMatchObject({ inChannels: 4, inputSize: 8 });
  expect(card.space).toEqual({ kind: 'latents', autoencoder: '', factor: 8, scale: 0.18215, shift: 0 });
  const { data } = JSON.parse(await readFile(join(root, 'runs/a/config.json'), 'utf8'));
  expect(data).toMatchObject({ kind: 'latents', path: latents, imageSize: null });
});

test('samples are scored as the pictures that they decode to', async () => {
  const [autoencoder, pictures, own] = ['ae.safetensors', 'pictures', 'own'].map((name) =>
    join(root, name),
  ) as [string, string, string];
  const { card, weights } = tinyAutoencoder();
  await writeModel(autoencoder, { card, weights, source: 'model' });
  await writePictureFolder(pictures, { classes: ['cat', 'dog'], perClass: 4 });
  const encoding = ['--out', own, '--autoencoder', autoencoder, '--image-size', '16'];
  const encoded = await runUdit(['encode', pictures, ...encoding], root);
  expect(encoded.code, encoded.err).toBe(0);
  const scoring = ['--steps', '1', '--evaluate-with', 'swd', '--evaluate-samples', '4'];
  const train = (from: string, name: string, ...flags: readonly string[]) =>
    runUdit(
      [
        ...['train', '--data-path', from, '--results-dir', join(root, 'runs'), '--name', name],
        ...[...TINY_DIT_FLAGS, ...scoring, ...flags],
      ],
      root,
    );
  const sampling = [
    '--evaluate-sampler',
    'dpm++2m',
    '--evaluate-sampling-steps',
    '2',
    '--evaluate-cfg-scale',
    '1',
  ];
  const { code, err } = await train(own, 'scored', ...sampling);
  expect(code, err).toBe(0);
  const { logging } = JSON.parse(await readFile(join(root, 'runs/scored/config.json'), 'utf8'));
  expect(logging.scoreSampling).toEqual({ sampler: 'dpm++2m', steps: 2, cfgScale: 1 });
  const stats = await readStats(join(root, 'runs/scored/stats.jsonl'));
  expect(stats.findLast(({ swd }) => swd !== undefined)).toMatchObject({ step: 1, swd: expect.any(Number) });
  const undecoded = await train(latents, 'undecoded');
  expect(undecoded.err).toContain('holds latents, and there is nothing that decodes them');
  const foreign = await train(own, 'foreign', '--evaluate-sampler', 'heun');
  expect(foreign.err).toContain('heun');
  expect(existsSync(join(root, 'runs/foreign'))).toBe(false);
});

test('latents of another size, of other pictures, and latents taken for pictures', async () => {
  const asked = async (...flags: readonly string[]) => {
    const { err } = await runUdit(
      ['train', '--data-path', latents, ...TINY_DIT_FLAGS, '--dry-run', ...flags],
      root,
    );
    return err.replaceAll(latents, 'LATENTS');
  };
  expect(await asked('--image-size', '256')).toMatchInlineSnapshot(`
    "ConfigError: ROOT/encoded: its latents of 8×8 are those of pictures of 64 pixels; 256 are asked for
      fix: leave --image-size out, or encode the pictures at 256
    "
  `);
  expect(await asked('--latent-size', '32')).toMatchInlineSnapshot(`
    "ConfigError: --latent-size: is 32, but ROOT/encoded with this objective needs 8
      fix: leave --latent-size out
    "
  `);
  expect(await asked('--image-size', '64')).not.toContain('Error');
  expect(await asked('--latent-size', '8')).not.toContain('Error');
  expect(await asked('--latent-size', '8', '--image-size', '64')).toMatchInlineSnapshot(`
    "error: option '--latent-size <size>' cannot be used with option '--image-size <size>'
    (add --help for all options)
    "
  `);
  expect(await asked('--latent-size', '8', '--data-path', 'emoji')).toMatchInlineSnapshot(`
    "ConfigError: --latent-size: latents of 8 are requested, but emoji holds pixels
      fix: use --image-size 8
    "
  `);
  expect(await asked('--set', 'data.kind=folder')).toMatchInlineSnapshot(`
    "DataError: ROOT/encoded: it holds latents, not pictures
      fix: set data.kind to latents
    "
  `);
});
