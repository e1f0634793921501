/** @file `udit train` says what its pictures are, and what was done to them. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { writePictureFolder } from './support/picture-folder.ts';
import { runUdit } from './support/run-udit.ts';
import { TINY_TRAINING_FLAGS, TINY_UDIT_FLAGS } from './support/tiny-training.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit pictures '));
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

const pathIn = (name: string, ...parts: readonly string[]) => join(root, 'my runs', name, ...parts);
const train = (name: string, ...flags: readonly string[]) =>
  runUdit(
    ['train', '--results-dir', join(root, 'my runs'), '--name', name, ...TINY_TRAINING_FLAGS, ...flags],
    root,
  );

describe('pictures with transparency', () => {
  const flags = (background?: string) => [
    ...['--data-path', join(root, 'stickers')],
    ...(background === undefined ? [] : ['--set', `data.background=${background}`]),
  ];
  beforeAll(async () => {
    const stickers = { classes: ['cat', 'dog'], perClass: 8, channels: 4 } as const;
    await writePictureFolder(join(root, 'stickers'), stickers);
  });

  test.each([
    ['white', 'laid on white'],
    [
      'drop',
      'dropped, so that colours hidden under it are learned (data.background=white lays pictures on white)',
    ],
  ])('are counted where the training starts: %s', async (background, done) => {
    const { err } = await train(`on ${background}`, ...flags(background), '--stop-after', '1');
    expect(err.split('\n')[0]).toBe(`16 pictures have transparency: ${done}`);
  });

  test('are counted in a dry run', async () => {
    const shown = await train('dry', ...TINY_UDIT_FLAGS, ...flags(), '--dry-run');
    expect(shown.out).toContain('\ntransparent 16: laid on white\n');
    const { out } = await train('dry', ...flags('#ff8800'), '--dry-run', '--json');
    expect(JSON.parse(out)).toMatchObject({ transparent: 16, config: { data: { background: '#ff8800' } } });
  });

  /** The configuration of a run in the form that it had when alpha was always dropped. */
  async function earlyConfig(name: string): Promise<string> {
    const { data, ...rest } = JSON.parse(await readFile(pathIn(name, 'config.json'), 'utf8'));
    const { background: _, orientation: __, endings: ___, ...earlyData } = data;
    return JSON.stringify({ ...rest, data: earlyData });
  }

  test('stay what they were in a run that was started when alpha was always dropped', async () => {
    await train('dropped', ...TINY_UDIT_FLAGS, ...flags('drop'), '--set', 'data.orientation=ignore');
    await train('early', ...TINY_UDIT_FLAGS, ...flags('drop'), '--stop-after', '10');
    await writeFile(pathIn('early', 'config.json'), await earlyConfig('early'));
    const refused = await train('early', ...TINY_UDIT_FLAGS, ...flags('white'));
    expect(refused.err).toContain('this run was started with data.background = "drop", not "white"');
    expect((await train('early', ...TINY_UDIT_FLAGS, ...flags())).code).toBe(0);
    const [early, dropped] = await Promise.all(
      ['early', 'dropped'].map((name) => readFile(pathIn(name, 'checkpoints', 'step-0000020.safetensors'))),
    );
    expect(early!.equals(dropped!)).toBe(true);
  });

  test('stay what they were for the configuration of such a run', async () => {
    const file = join(root, 'early config.json');
    await writeFile(file, await earlyConfig('dropped'));
    const { out } = await train('other', '--config', file, ...TINY_UDIT_FLAGS, '--dry-run', '--json');
    expect(JSON.parse(out).config.data.background).toBe('drop');
  });
});

describe('pictures that EXIF turns', () => {
  const flags = (orientation: string) => [
    ...['--data-path', join(root, 'photos'), '--set', `data.orientation=${orientation}`],
  ];
  beforeAll(async () => {
    for (const [i, orientation] of [1, 3, 6].entries()) {
      const picture = sharp({ create: { width: 12, height: 8, channels: 3, background: 'teal' } });
      await mkdir(join(root, 'photos', 'a'), { recursive: true });
      await picture.withMetadata({ orientation }).toFile(join(root, 'photos', 'a', `${i}.jpg`));
    }
    await writeFile(join(root, 'photos', 'a', 'bad\n\u001b[31m.png'), 'no picture');
    await writeFile(join(root, 'photos', 'drawing.svg'), '<svg/>');
    await mkdir(join(root, 'photos', '__MACOSX'));
  });

  test.each([
    ['follow', 'upright, as EXIF says'],
    ['ignore', 'not, though EXIF says so (data.orientation=follow turns them upright)'],
  ])('are counted where the training starts, among what is left out: %s', async (orientation, done) => {
    const { err } = await train(`to ${orientation}`, ...flags(orientation), '--stop-after', '1');
    expect(err.split('\n').slice(0, 4)).toEqual([
      'warning: skipped a/bad\\x0a\\x1b[31m.png: not an image, or of a format that cannot be read',
      'warning: passed over __MACOSX: left by macOS in an archive',
      'files of other kinds passed over: .svg 1',
      `2 pictures are turned: ${done}`,
    ]);
  });

  test('are counted in a dry run, which lists what is left out', async () => {
    const shown = await train('dry', ...flags('follow'), '--dry-run');
    expect(
      shown.out
        .split('\n')
        .filter((line) => !/^( {12}warning|input)/.test(line))
        .slice(4, 12)
        .join('\n'),
    ).toMatchInlineSnapshot(`
      "skipped     1
                  a/bad\\x0a\\x1b[31m.png: not an image, or of a format that cannot be read
      passed over .svg 1
                  __MACOSX: left by macOS in an archive
      turned      2: upright, as EXIF says
      transparent 0
      clipped     0
      cropped     3: to their middle"
    `);
    const { out } = await train('dry', ...flags('ignore'), '--dry-run', '--json');
    expect(JSON.parse(out)).toMatchObject({
      ...{ turned: 2, transparent: 0, clipped: 0, cropped: 3, enlarged: 0 },
      skipped: [{ name: 'a/bad\n\u001b[31m.png' }],
      passedOver: { files: [['.svg', 1]], entries: [{ name: '__MACOSX' }] },
    });
  });

  test('and those that cannot be read are listed by an error that is asked for', async () => {
    const { code, err } = await train('strict', ...flags('follow'), '--strict');
    expect(code).toBe(1);
    expect(err).toContain('a/bad\\x0a\\x1b[31m.png cannot be read: not an image');
  });
});

describe('a dry run before', () => {
  test('shows what the network takes, costs and is made of, and says where it is meant for latents', async () => {
    const dry = (preset: string) =>
      train('dry', '--data-path', 'emoji', ...TINY_UDIT_FLAGS, '--model', preset, '--dry-run');
    const { out } = await dry('U-DiT-S');
    expect(out).toMatch(/^input {7}U-DiT-S takes 3×8×8 pixels: [\d.]+ GMACs an image$/m);
    expect(out).toContain(
      'warning: U-DiT-S was published for latents 4×32×32, as of pictures of 256 pixels; here it is given pixels themselves',
    );
    expect(out).toMatch(/^network {5}U-DiT \{$/m);
    for (const option of ['width', 'heads', 'depth', 'mlpRatio']) expect(out).toContain(`  "${option}": `);
    const other = await dry('U-DiT-XS');
    expect(other.out).not.toContain('warning');
  });

  test('finds a results folder that cannot be', async () => {
    await writeFile(join(root, 'file'), '');
    const flags = ['--data-path', 'emoji', '--results-dir', join(root, 'file', 'runs'), '--dry-run'];
    const { code, err } = await train('dry', ...flags);
    expect({ code, err }).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: ROOT/file: there is a file where a folder is needed
        fix: choose a writable folder with --results-dir
      ",
      }
    `);
  });
});
