/** @file `udit start` with a tiny model in place of the bundled one, and a training of a few steps. */
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { Interruption } from '../src/cli/failures.ts';
import { againCommand, type Introduction, type StartFlags, start } from '../src/cli/start.ts';
import { overlay } from '../src/tasks/training/config/config-layer.ts';
import { recordingTerminal } from './support/recording-terminal.ts';
import { tinyDiTCard, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';
import { writePhotos } from './support/tiny-photos.ts';
import { TINY_DIT_LAYERS } from './support/tiny-training.ts';

let root: string;
let introduction: Introduction;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit start '));
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  await writePhotos(join(root, 'photos'));
  const bundled = join(root, 'bundled.safetensors');
  await writeTinyCheckpoint(bundled, tinyDiTCard({ nimg: 1234 }));
  const steps = { training: { steps: 2 }, logging: { ckptEvery: 1 } };
  const recipe = [
    ...TINY_DIT_LAYERS,
    { data: { path: join(root, 'photos'), heldOutFraction: 0.3 } },
    steps,
  ].reduce(overlay);
  introduction = { bundled, recipe };
});
beforeEach(() => vi.stubEnv('npm_lifecycle_event', 'npx'));
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

/** @param aborting - what is printed before Ctrl-C is pressed */
async function run(
  folder: string,
  options: {
    flags?: Partial<StartFlags>;
    bundled?: string;
    whereSlow?: Introduction['whereSlow'];
    aborting?: RegExp;
  } = {},
) {
  const resultsDir = join(root, folder);
  const { printed, ...terminal } = recordingTerminal();
  const controller = new AbortController();
  const err = {
    write(text: string) {
      terminal.err.write(text);
      if (options.aborting?.test(text)) controller.abort(new Interruption('SIGINT'));
    },
  };
  const flags: StartFlags = { minutes: 5, resultsDir, device: 'cpu', ...options.flags };
  const { bundled = introduction.bundled, whereSlow } = options;
  const shown = { ...introduction, bundled, ...(whereSlow && { whereSlow }) };
  const outcome = await start(flags, { ...terminal, err }, controller.signal, shown).then(
    () => 'done',
    (error: Error) => error.message,
  );
  const said = (text: string) => text.replaceAll(root, 'ROOT').replaceAll(/bundled-\S+\.png/g, 'BUNDLED.png');
  return { outcome, out: said(printed.out), err: said(printed.err) };
}

const filesOf = async (folder: string) => (await readdir(join(root, folder, 'start'))).sort();

const bundledSheet = async (folder: string) =>
  (await filesOf(folder)).find((name) => name.startsWith('bundled-'))!;

test('shows the bundled model, trains its own, and compares both', async () => {
  const { outcome, out, err } = await run('whole');
  expect(outcome).toBe('done');
  expect(out.replaceAll(/\d\.\d{4}/g, '#').replaceAll(/ {3,}/g, '   ')).toMatchInlineSnapshot(`
    "
    side by side   ROOT/whole/start/compared.png
    at the left   The model that comes with udit: tiny DiT, 0.0 M parameters, 1,234 pictures seen
       ROOT/whole/start/BUNDLED.png
    at the right   The model trained here: DiT-S/2, 0.0 M parameters, 8 pictures seen
       ROOT/whole/start/grid.png
    held-out loss  # at step 0, # at step 2

    next:
      npx udit start --results-dir "ROOT/whole"   train this model for longer
      npx udit sample "ROOT/whole/start" --count 8  draw more from it
      npx udit sample   draw with the model that comes with udit
      npx udit train --data-path <folder>   train on your own pictures
    "
  `);
  expect(err.split('\n').slice(0, 3).join('\n')).toMatchInlineSnapshot(`
    "drawing with the model that comes with udit: tiny DiT, 0.0 M parameters, 1,234 pictures seen
    its pictures: ROOT/whole/start/BUNDLED.png
    training a new DiT-S/2 (0.0 M parameters) for 5 minutes on 2 pictures"
  `);
  const widths: number[] = [];
  for (const name of [await bundledSheet('whole'), 'grid.png', 'compared.png']) {
    widths.push((await sharp(join(root, 'whole/start', name)).metadata()).width!);
  }
  expect(widths[2]).toBeGreaterThan(widths[0]! + widths[1]!);
});

test('a second start does not draw the bundled model again; for scripts', async () => {
  const before = await stat(join(root, 'whole/start', await bundledSheet('whole')));
  const { out, err } = await run('whole', { flags: { json: true } });
  expect(err).toMatch(/^its pictures: /);
  expect(await stat(join(root, 'whole/start', await bundledSheet('whole')))).toEqual(before);
  expect(JSON.parse(out)).toMatchObject({
    compared: 'ROOT/whole/start/compared.png',
    bundled: 'ROOT/whole/start/BUNDLED.png',
    own: 'ROOT/whole/start/grid.png',
    checkpoint: 'ROOT/whole/start/checkpoints/step-0000002.safetensors',
    step: 2,
    heldOut: { first: expect.any(Object), last: expect.any(Object) },
  });
});

test('another bundled model is drawn', async () => {
  const bundled = join(root, 'other.safetensors');
  await writeTinyCheckpoint(bundled, tinyDiTCard({ nimg: 99 }));
  const { err } = await run('whole', { bundled, aborting: /^its pictures/ });
  expect(err).toMatch(/^drawing with .* 99 pictures seen\n/);
  expect((await filesOf('whole')).filter((name) => name.startsWith('bundled-'))).toHaveLength(2);
});

test.each([
  ['slow', Number.POSITIVE_INFINITY, 4],
  ['fast', 0, 8],
])('on a %s machine the network has a width that suits it', async (folder, fewerStepsThan, width) => {
  const change = { model: { width: 4, heads: 1 } };
  const { outcome, err } = await run(folder, {
    flags: { minutes: 0.05 },
    whereSlow: { fewerStepsThan, change },
  });
  expect(outcome).toBe('done');
  expect(/some \d+ steps fit into 0.05 minutes: a smaller/.test(err)).toBe(width === 4);
  const config = await readFile(join(root, folder, 'start/config.json'), 'utf8');
  expect(JSON.parse(config).model.width).toBe(width);
  expect(await filesOf(folder)).not.toContain('pace');
});

test('Ctrl-C while the bundled model draws leaves nothing half-written', async () => {
  const { outcome, out, err } = await run('early', { aborting: /^drawing/ });
  expect({ outcome, out }).toEqual({ outcome: 'stopped by Ctrl-C', out: '' });
  expect(err.split('\n').slice(1)).toMatchInlineSnapshot(`
    [
      "to go on: npx udit start --results-dir "ROOT/early"",
      "",
    ]
  `);
  expect(await filesOf('early')).toEqual([]);
});

test('Ctrl-C during the training says what is kept, and the next start goes on', async () => {
  const { outcome, out, err } = await run('late', { aborting: /step 0: held-out/ });
  expect({ outcome, out }).toEqual({ outcome: 'stopped by Ctrl-C', out: '' });
  expect(err.slice(err.indexOf('kept'))).toMatchInlineSnapshot(`
    "kept: ROOT/late/start/BUNDLED.png
    kept: ROOT/late/start/checkpoints/step-0000000.safetensors
    to go on: npx udit start --results-dir "ROOT/late"
    "
  `);
  const next = await run('late', { aborting: /continuing/ });
  expect(next.err).toContain('continuing at step 0 from ');
});

test.each([
  [{}, 'start', 'npm start'],
  [{}, 'npx', 'npx udit start'],
  [{ resultsDir: 'my runs' }, 'start', 'npm start -- --results-dir "my runs"'],
  [{ device: 'auto' }, undefined, 'npx udit start --device auto'],
] as const)('%j, called by %s, goes on by: %s', async (flags, event, command) => {
  vi.stubEnv('npm_lifecycle_event', event);
  expect(againCommand({ minutes: 4, resultsDir: 'runs', device: 'cpu', ...flags })).toBe(command);
});
