/** @file How `udit train` begins a run: the model of its initial weights, and starts that fail and leave nothing. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { writePictureFolder } from './support/picture-folder.ts';
import { runUdit } from './support/run-udit.ts';
import { TINY_TRAINING_FLAGS } from './support/tiny-training.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit begin '));
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  await writePictureFolder(join(root, 'pictures'), { classes: ['cat', 'dog'], perClass: 4 });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

const runs = () => join(root, 'runs');
const train = (...flags: readonly string[]) =>
  runUdit(['train', '--results-dir', runs(), '--data-path', join(root, 'pictures'), ...flags], root);
const configOf = async (name: string) =>
  JSON.parse(await readFile(join(runs(), name, 'config.json'), 'utf8'));

describe('with the weights of another run', () => {
  const source = () => ['--init-from', join(runs(), 'source')];
  const short = ['--image-size', '8', '--global-batch-size', '4', '--steps', '1', '--threads', '1'];
  beforeAll(async () => {
    await train('--name', 'source', ...TINY_TRAINING_FLAGS, '--steps', '1');
  });

  test('its model and objective are taken, unless options say otherwise', async () => {
    const taken = await train('--name', 'taken', ...source(), ...short);
    expect(taken).toMatchObject({ code: 0, err: expect.stringMatching(/^beginning with 22 tensors/) });
    const { model, objective, optimizer } = await configOf('taken');
    expect({ model, objective }).toEqual({
      model: { preset: 'DiT-S/2', width: 8, heads: 2, depth: 1 },
      objective: (await configOf('source')).objective,
    });
    // How it is trained is not the file's.
    expect(optimizer.learningRate).toBe(1e-4);
    const deeper = await train('--name', 'deeper', ...source(), ...short, '--set', 'model.depth=2');
    expect(deeper.err).toContain('as in a run from scratch: blocks.1');
    expect((await configOf('deeper')).model).toEqual({ preset: 'DiT-S/2', width: 8, heads: 2, depth: 2 });
  });

  test('a run that is given no name is called after its model', async () => {
    const { out } = await train(...source(), ...short, '--dry-run', '--json');
    expect(JSON.parse(out).run).toBe('ROOT/runs/dit-s-2-pictures');
  });

  test('another model is refused with the flags of theirs, and leaves nothing', async () => {
    const wider = await train('--name', 'wider', ...source(), ...short, '--set', 'model.width=16');
    expect(wider.code).toBe(1);
    expect(wider.err.split('\n').find((line) => line.includes('fix:'))).toMatchInlineSnapshot(
      `"  fix: leave --model and its options out, or give those of the file: --model DiT-S/2 --set model.width=8 --set model.heads=2 --set model.depth=1"`,
    );
    const other = await train('--name', 'wider', ...source(), ...short, '--model', 'DiT-B/4');
    expect(other).toMatchObject({
      code: 1,
      err: expect.stringContaining('does not fit the model of this run'),
    });
    expect(await readdir(runs())).not.toContain('wider');
  });
});

describe('a start that fails leaves no run', () => {
  test.each([
    [
      'too many classes',
      ['--num-classes', '1000000000'],
      /^ConfigError: training: it needs at least .* of memory/,
    ],
    [
      'too large a batch',
      ['--global-batch-size', '100000000'],
      /^ConfigError: training: it needs at least .* of memory/,
    ],
    [
      'no learning rate',
      ['--lr', '0'],
      /^error: option '--lr <x>' argument '0' is invalid\. A number above 0 is/,
    ],
    [
      'weights that are not there',
      ['--init-from', 'none.safetensors'],
      /^CheckpointError: none\.safetensors: /,
    ],
    ['data that are not there', ['--data-path', 'none'], /^DataError: .*none: there is no such folder/],
  ])('%s', async (_, flags, message) => {
    const before = await readdir(root);
    const there = await readdir(runs()).catch(() => []);
    const { code, err, out } = await train('--name', 'failed', ...TINY_TRAINING_FLAGS, ...flags);
    expect({ failed: code !== 0, out, messages: err.match(/Error: |^error: /gm)?.length }).toEqual({
      ...{ failed: true, out: '', messages: 1 },
    });
    expect(err).toMatch(message);
    expect(await readdir(root)).toEqual(before);
    expect(await readdir(runs()).catch(() => [])).toEqual(there);
  });
});
