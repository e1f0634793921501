/** @file `udit train` with pictures that are no squares: 16 rows of 8 pixels. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { decodeRgb } from '../src/data/images/image-decode-node.ts';
import { readSafetensors } from '../src/formats/file-node.ts';
import { openModel } from '../src/models/open-node.ts';
import { sinCosPositions } from '../src/networks/nn/position.ts';
import { runUdit } from './support/run-udit.ts';
import { writePhotos } from './support/tiny-photos.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit oblong '));
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  await writePhotos(join(root, 'photos'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

async function udit(...args: readonly string[]): Promise<string> {
  const { code, out, err } = await runUdit(args, root);
  expect(code, err).toBe(0);
  return out;
}

const settings = (assignments: readonly string[]) => assignments.flatMap((one) => ['--set', one]);

/** Trains 4 steps in all. */
async function train(name: string, model: readonly string[], ...flags: readonly string[]): Promise<Buffer> {
  const [data, runs] = ['photos', 'runs'].map((folder) => join(root, folder)) as [string, string];
  const batch = ['--global-batch-size', '2', '--threads', '1', '--steps', '4'];
  await udit(
    ...['train', '--data-path', data, '--image-size', '16x8', '--results-dir', runs, '--name', name],
    ...[...batch, ...model, ...flags],
    ...settings([
      'training.shards=1',
      'data.heldOutFraction=0.25',
      'logging.sampleEvery=null',
      'logging.evaluateEvery=null',
    ]),
  );
  const step = flags.includes('--stop-after') ? 2 : 4;
  return readFile(join(runs, name, `checkpoints/step-000000${step}.safetensors`));
}

const small = settings(['model.width=16', 'model.heads=2']);
const patches = settings(['model.depth=1', 'model.patchSize=2']);

const MODELS = {
  'U-DiT-XS': [...small, ...settings(['model.depth=[1,1,1,1,1]', 'model.downFactor=[2,2,1,2,2]'])],
  'DiT-S/2': [...small, ...patches],
  'DiT-LLaMA-B/4': [...small, ...patches],
};

describe.each(Object.entries(MODELS))('%s', (preset, sizes) => {
  const name = preset.replace('/', '-');
  const checkpoint = () => join(root, 'runs', name, 'checkpoints/step-0000004.safetensors');

  test('a stopped run goes on, and ends with the bytes of one that was not stopped', async () => {
    const whole = await train(name, ['--model', preset, ...sizes]);
    await train(`${name}-halves`, ['--model', preset, ...sizes], '--stop-after', '2');
    const halves = await train(`${name}-halves`, ['--model', preset, ...sizes]);
    expect(halves.equals(whole)).toBe(true);
  });

  test('its checkpoint says the size, and draws at it', async () => {
    const { card, network } = await openModel(checkpoint());
    expect(card.spec.config.inputSize).toBe('16x8');
    expect(network.config.inputSize).toBe('16x8');
    const drawing = ['--steps', '2', '--count', '1', '--classes', '1', '--threads', '1', '--seed', '3'];
    await udit('sample', checkpoint(), ...drawing, '--out', join(root, name));
    const told = ['--image-size', '16x8', '--out', join(root, `${name}-told`)];
    await udit('sample', checkpoint(), ...drawing, ...told);
    const [drawn, same] = await Promise.all(
      [name, `${name}-told`].map((folder) => decodeRgb(join(root, folder, 'dogs-3-0.png'), null)),
    );
    expect(drawn!.image).toMatchObject({ height: 16, width: 8 });
    expect(same!.image).toEqual(drawn!.image);
  });

  test('it is inspected and exported at that size', async () => {
    const svg = join(root, `${name}.svg`);
    const { inspection } = JSON.parse(await udit('inspect', checkpoint(), '--json', '--svg', svg));
    expect(inspection.size).toEqual({ height: 16, width: 8 });
    expect(inspection.spec.config.inputSize).toBe('16x8');
    expect(await readFile(svg, 'utf8')).toContain('<svg');
    const out = join(root, `${name}.onnx`);
    const flags = ['--what', 'denoiser', '--threads', '1', '--json', '--out', out];
    const { inputs, check } = JSON.parse(await udit('export', checkpoint(), ...flags));
    expect(inputs[0].shape).toEqual(['N', 3, 16, 8]);
    expect(check.relativeL2).toBeLessThan(check.tolerance);
  });
});

test('the positions of DiT have as many rows and columns as tokens', async () => {
  const { tensors } = await readSafetensors(join(root, 'runs/DiT-S-2/checkpoints/step-0000004.safetensors'));
  const { shape, data } = tensors.get('model.pos_embed')!;
  expect(shape).toEqual([1, 32, 16]);
  expect(data).toEqual(sinCosPositions({ height: 8, width: 4 }, 16));
});

test('an autoencoder is trained, and opened at that size', async () => {
  const model = ['--model', 'autoencoder', ...settings(['model.levelChannels=[8,8]', 'model.factor=2'])];
  await train('autoencoder', model);
  const checkpoint = join(root, 'runs/autoencoder/checkpoints/step-0000004.safetensors');
  const { network } = await openModel(checkpoint, { role: 'autoencoder' });
  expect(network.config.inputSize).toBe('16x8');
  const { inspection } = JSON.parse(await udit('inspect', checkpoint, '--json'));
  expect(inspection.size).toEqual({ height: 16, width: 8 });
  const run = join(root, 'runs/autoencoder');
  expect(await udit('train', '--resume', run)).toContain(
    `encode with it npx udit encode "ROOT/photos" --image-size 16x8 --autoencoder "ROOT/runs/autoencoder" --out LATENTS\n`,
  );
});
