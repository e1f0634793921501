/** @file `udit data` from the command line: what it says of a folder, and the sheet that it draws. */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { decodeRgb } from '../src/data/images/image-decode-node.ts';
import { runUdit } from './support/run-udit.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit data '));
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  const picture = (background: string, width = 8) =>
    sharp({ create: { width, height: 8, channels: 4, background } });
  for (const [name, file] of Object.entries({
    'cat/1.png': picture('red'),
    'cat/2.png': picture('#0000ff00'),
    'cat/3.jpg': picture('lime', 16).withMetadata({ orientation: 6 }),
    '日本/1.png': picture('black', 4),
  })) {
    await mkdir(join(root, 'photos', name, '..'), { recursive: true });
    await file.toFile(join(root, 'photos', name));
  }
  await writeFile(join(root, 'photos', 'cat', '4.png'), 'no picture');
  await writeFile(join(root, 'photos', 'cat', '5.svg'), '<svg/>');
  await mkdir(join(root, 'photos', '@eaDir'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

const look = (...flags: readonly string[]) =>
  runUdit(['data', join(root, 'photos'), '--image-size', '8', ...flags], root);

test('a row per class, with counts, and what was passed over or changed', async () => {
  expect(await look()).toMatchInlineSnapshot(`
    {
      "code": 0,
      "err": "",
      "out": "4 pictures [3,8,8] in 2 classes

    class  pictures  turned  transparent  cropped  enlarged
    cat           3       1            1        1         0
    日本            1       0            0        1         1

    skipped     1
                cat/4.png: not an image, or of a format that cannot be read
    passed over .svg 1
                @eaDir: left by a file server
    turned      1: upright, as EXIF says
    transparent 1: laid on white
    clipped     0
    cropped     2: to their middle
    enlarged    1: and blurred by it: they have fewer pixels than asked for
    ",
    }
  `);
});

test('a sheet shows a row per class, as a model sees its pictures', async () => {
  const file = join(root, 'new folder', 'sheet.png');
  const { code, out } = await look('--out', file, '--columns', '4');
  expect({ code, sheet: out.trimEnd().split('\n').at(-2) }).toEqual({
    code: 0,
    sheet: 'sheet       ROOT/new folder/sheet.png',
  });
  const { image } = await decodeRgb(file);
  /** The colour of a cell's middle. */
  const cell = (column: number, row: number) => {
    const left = image.width - 4 * 102 + column * 102 + 45;
    const start = ((6 + row * 102 + 48) * image.width + left) * 3;
    return [...image.data.subarray(start, start + 3)];
  };
  expect(image.height).toBe(2 * 102 + 6);
  expect([cell(0, 0), cell(1, 0), cell(3, 0)]).toEqual([
    [255, 0, 0],
    [255, 255, 255],
    [255, 255, 255],
  ]);
  expect(cell(2, 0)[1]).toBeGreaterThan(240);
  expect([cell(0, 1), cell(1, 1)]).toEqual([
    [0, 0, 0],
    [255, 255, 255],
  ]);
});

test('a class without a picture that can be read is shown, where training refuses it', async () => {
  for (const [name, content] of Object.entries({ 'a/1.png': 'no picture', 'b/1.svg': '<svg/>' })) {
    await mkdir(join(root, 'partly', name, '..'), { recursive: true });
    await writeFile(join(root, 'partly', name), content);
  }
  await mkdir(join(root, 'partly', 'c'));
  await copyFile(join(root, 'photos', 'cat', '1.png'), join(root, 'partly', 'c', '1.png'));
  const sheet = join(root, 'partly.png');
  const partly = ['data', join(root, 'partly'), '--image-size', '8'];
  const { code, out } = await runUdit([...partly, '--out', sheet], root);
  expect(code).toBe(0);
  expect(out.slice(0, out.indexOf('turned'))).toMatchInlineSnapshot(`
    "1 picture [3,8,8] in 3 classes

    class  pictures
    a             0
    b             0
    c             1

    without     a, b: no picture of it can be read; training needs some in each folder, or the folder removed
    skipped     1
                a/1.png: not an image, or of a format that cannot be read
    passed over .svg 1
                b: holds no picture but .svg 1
    "
  `);
  expect(existsSync(sheet)).toBe(true);
  const training = await runUdit(['train', '--dry-run', '--data-path', join(root, 'partly')], root);
  expect(training).toMatchObject({
    code: 1,
    err: expect.stringContaining('class without a readable image: b'),
  });
});

test('names without letters to write them with are told beside the sheet', async () => {
  const { out } = await look('--out', join(root, 'sheet.png'));
  expect(out).toContain('sheet       ROOT/sheet.png\n            class 1 is 日本\n');
});

test('everything is there for a program', async () => {
  const { out } = await look('--json', '--set', 'data.background=drop');
  expect(JSON.parse(out)).toMatchObject({
    ...{ shape: [3, 8, 8], pictures: 4, turned: 1, transparent: 1, cropped: 2, enlarged: 1 },
    classes: [
      { name: 'cat', pictures: 3, treated: { turned: 1, transparent: 1, cropped: 1, enlarged: 0 } },
      { name: '日本', pictures: 1, treated: { turned: 0, transparent: 0, cropped: 1, enlarged: 1 } },
    ],
    skipped: [{ name: 'cat/4.png' }],
    passedOver: { files: [['.svg', 1]], entries: [{ name: '@eaDir' }] },
    config: { kind: 'folder', imageSize: 8, background: 'drop' },
  });
});

test('pictures are read as for the model that is named', async () => {
  const { out } = await look('--json', '--model', 'DiT-S/4');
  expect(JSON.parse(out).config).toMatchObject({ background: 'drop', orientation: 'ignore' });
});

test.each([
  [['--set', 'model.width=8'], 'model is no part of the data'],
  [['--set', 'data.background=blue'], '"blue" is not valid'],
  [['--strict'], 'cat/4.png cannot be read'],
])('%j is refused', async (flags, problem) => {
  const { code, err } = await look(...flags, '--out', join(root, 'refused.png'));
  expect(code).not.toBe(0);
  expect(err).toContain(problem);
  expect(existsSync(join(root, 'refused.png'))).toBe(false);
});

test('the sheet is a PNG file, and called so', async () => {
  const file = join(root, 'sheet.jpg');
  const { code, err } = await look('--out', file);
  expect(code).toBe(2);
  expect(err).toContain('"sheet.jpg" ends in .jpg, but a PNG file is written');
  expect(existsSync(file)).toBe(false);
});

test('no picture is overwritten by the sheet', async () => {
  const before = await readFile(join(root, 'photos', 'cat', '1.png'));
  const { code } = await look('--out', join(root, 'photos', 'cat', '1.png'));
  expect(code).toBe(2);
  expect((await readFile(join(root, 'photos', 'cat', '1.png'))).equals(before)).toBe(true);
});
