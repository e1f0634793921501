/** @file `udit inspect` and `udit export` open networks of every role, of files that say what they are and of others. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { randomKey } from '../src/core/random.ts';
import { readSafetensors, writeSafetensors } from '../src/formats/file-node.ts';
import { openModel } from '../src/models/open-node.ts';
import { writeModel } from '../src/models/write-model-node.ts';
import { Taesd } from '../src/networks/autoencoders/taesd.ts';
import { initialise, normalWith } from '../src/networks/nn/initialise.ts';
import { drawModel } from '../src/tasks/inspection/drawing.ts';
import { inspectNetwork } from '../src/tasks/inspection/inspect.ts';
import { runUdit } from './support/run-udit.ts';
import { tinyCard, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

const config = { inputSize: 16, inChannels: 3, latentChannels: 4, factor: 8, width: 8, middleNorm: false };
const network = new Taesd({ ...config, factor: 8 });
const weights = initialise(network, () => normalWith(0.1), randomKey(0));
const LATENTS = { kind: 'latents', autoencoder: 'tiny', factor: 8, scale: 1, shift: 0 } as const;

let root: string;
/** A file that says what it is, and one that says nothing. */
const files = { own: 'own.safetensors', foreign: 'foreign.safetensors' };
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit roles '));
  const spec = { family: 'TAESD', config };
  const card = { role: 'autoencoder', name: 'tiny', spec, space: LATENTS, step: 0, nimg: 0 } as const;
  await writeModel(join(root, files.own), { card, weights, source: 'model' });
  await writeSafetensors(join(root, files.foreign), weights, {});
  await writeTinyCheckpoint(join(root, 'denoiser.safetensors'), tinyCard());
});
afterAll(() => rm(root, { recursive: true }));

const run = (command: string, file: string, ...flags: readonly string[]) =>
  runUdit([command, join(root, file), ...flags], root);

const exportTo = (name: string, file: string, ...flags: readonly string[]) =>
  run('export', file, '--threads', '1', '--out', join(root, name), '--image-size', '16', ...flags);

describe.each(Object.values(files))('an autoencoder in %s', (file) => {
  test('is inspected', async () => {
    const { code, out } = await run('inspect', file, '--image-size', '24x16');
    expect(code).toBe(0);
    expect(out).toContain('(TAESD): x 3×24×16, z 4×3×2 → latents 4×3×2, images 3×24×16\n\nstage ');
    expect(out).not.toMatch(/attend|published model/);
    expect((await run('inspect', file, '--latent-size', '3x2')).out).toBe(out);
    const { inspection, counterpart } = JSON.parse((await run('inspect', file, '--json')).out);
    expect(inspection).toMatchObject({ role: 'autoencoder', spec: { family: 'TAESD' } });
    expect(inspection.parameters.all).toBe(
      [...weights.values()].reduce((sum, { data }) => sum + data.length, 0),
    );
    expect(counterpart).toBeUndefined();
  });

  test('is exported whole, and its decoder alone', async () => {
    const whole = JSON.parse((await exportTo('whole.onnx', file, '--json')).out);
    const names = (values: readonly { readonly name: string }[]) => values.map(({ name }) => name);
    expect([whole.what, names(whole.inputs), names(whole.outputs)]).toEqual([
      'network',
      ['x', 'z'],
      ['latents', 'images'],
    ]);
    expect(whole.check.relativeL2).toBeLessThan(whole.check.tolerance);
    const decoder = JSON.parse((await exportTo('decoder.onnx', file, '--outputs', 'images', '--json')).out);
    expect([names(decoder.inputs), names(decoder.outputs)]).toEqual([['z'], ['images']]);
    expect(decoder.inputs[0].shape).toEqual(['N', 4, 2, 2]);
  });

  test('is exported as weights that are opened as it', async () => {
    const { code } = await run('export', file, '--out', join(root, 'weights.safetensors'));
    expect(code).toBe(0);
    const { card } = await openModel(join(root, 'weights.safetensors'), { role: 'autoencoder' });
    expect(card).toMatchObject({ role: 'autoencoder', spec: { family: 'TAESD' } });
    expect((await readSafetensors(join(root, 'weights.safetensors'))).tensors.size).toBe(weights.size);
  });
});

test('halves of an autoencoder hand nothing across in its drawing', () => {
  const inspection = { spec: { family: 'TAESD', config }, ...inspectNetwork(network) };
  const arrows = (role: 'autoencoder' | 'denoiser') =>
    drawModel('tiny', { role, ...inspection }).split('stroke-dasharray').length - 1;
  expect(arrows('autoencoder')).toBe(0);
  expect(arrows('denoiser')).toBeGreaterThan(0);
});

describe('flags of another role are refused, and nothing is written', () => {
  test.each([
    ['own.safetensors', ['--steps', '3'], /tiny is no denoiser: --steps means nothing for it/],
    ['own.safetensors', ['--no-clip'], /--no-clip means nothing for it/],
    ['own.safetensors', ['--tokens', 'kv'], /--tokens means nothing for it/],
    ['own.safetensors', ['--what', 'sampler'], /"sampler", but this is no denoiser/],
    ['own.safetensors', ['--outputs', 'scores'], /there is no output "scores"/],
    ['denoiser.safetensors', ['--outputs', 'images'], /is a denoiser: --outputs means nothing for it/],
    ['denoiser.safetensors', ['--no-clip'], /has no option --no-clip .*\n {2}fix: leave --no-clip out/],
    ['denoiser.safetensors', ['--what', 'network'], /"network", but this is a denoiser/],
  ])('%s %j', async (file, flags, message) => {
    const before = await readdir(root);
    const { code, err } = await exportTo('refused.onnx', file, ...flags);
    expect(code).toBe(2);
    expect(err).toMatch(message);
    expect(await readdir(root)).toEqual(before);
  });
});
