/** @file `udit sample --interpolate`: pictures on the way from one to another, for models of pixels and of latents. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { writeModel } from '../src/models/write-model-node.ts';
import { runUdit } from './support/run-udit.ts';
import { tinyAutoencoder } from './support/tiny-autoencoder.ts';
import { tinyCard, tinyDiTSpec, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

let root: string;
const at = (name: string): string => join(root, name);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit ways '));
  vi.stubEnv('UDIT_CACHE', at('cache'));
  const spec = tinyDiTSpec();
  await writeTinyCheckpoint(at('pixels.safetensors'), tinyCard({ spec }));
  const autoencoder = tinyAutoencoder();
  await writeModel(at('vae.safetensors'), { ...autoencoder, source: 'model' });
  const latentSpec = { ...spec, config: { ...spec.config, inChannels: 4 } } as typeof spec;
  const { space } = autoencoder.card;
  await writeTinyCheckpoint(at('latents.safetensors'), tinyCard({ spec: latentSpec, space }));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

const sample = async (model: string, folder: string, ...flags: readonly string[]) => {
  const fixed = ['sample', at(`${model}.safetensors`), '--steps', '2', '--workers', '1', '--no-cache'];
  const outcome = await runUdit([...fixed, '--out', at(folder), ...flags], root);
  return { ...outcome, out: outcome.out.replace(/\d+\.\d+ s each/, '#.## s each') };
};

/** Pixels of a picture on a sheet or in a frame: `left` and `top` in pixels of the file, a pixel of the picture each 12. */
async function pictureAt(path: string, left: number, top: number, frame = 0): Promise<Buffer> {
  const side = 96;
  const image = sharp(path, { page: frame });
  return image
    .extract({ left, top, width: side, height: side })
    .resize(8, 8, { kernel: 'nearest' })
    .removeAlpha()
    .raw()
    .toBuffer();
}
const pixelsOf = (path: string): Promise<Buffer> => sharp(path).removeAlpha().raw().toBuffer();

/** Between pictures and around them. */
const PADDING = 6;
const STRIDE = 96 + PADDING;

test('a row per way, whose ends are the ordinary pictures, and an animation there and back', async () => {
  const flags = ['--classes', 'owl,newt', '--to-classes', 'red fox', '--seed', '1', '--to-seed', '2'];
  const { code, err, out } = await sample('pixels', 'ways', ...flags, '--interpolate', '3', '--animate');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatchInlineSnapshot(`
    "U-DiT-XS, step 20, EMA weights (ROOT/pixels.safetensors)
    6 images by dpm++2m, 2 steps, cfg scale 3, seed 1
    2 ways of 3 pictures, to seed 2
    1 worker of 1 thread, batches of 1, at most 80.1 MB each
    6 images, #.## s each
    sheet     ROOT/ways/interpolation.png
    animation ROOT/ways/interpolation.webp
    "
  `);
  expect(await readdir(at('ways'))).toEqual(['interpolation.png', 'interpolation.webp']);
  await sample('pixels', 'first', '--classes', 'owl,newt', '--count', '1', '--seed', '1');
  await sample('pixels', 'last', '--classes', 'red fox', '--count', '1', '--seed', '2');
  const ends = ['first/owl-1-0', 'first/newt-1-0', 'last/red-fox-2-0'];
  const [owl, newt, fox] = (await Promise.all(ends.map((name) => pixelsOf(at(`${name}.png`))))) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  const sheet = at('ways/interpolation.png');
  const { width, height } = await sharp(sheet).metadata();
  const labels = width! - 3 * STRIDE - PADDING;
  expect([labels > 0, height]).toEqual([true, 2 * STRIDE + PADDING]);
  const cell = (row: number, column: number) =>
    pictureAt(sheet, labels + PADDING + column * STRIDE, PADDING + row * STRIDE);
  expect(await cell(0, 0)).toEqual(owl);
  expect(await cell(1, 0)).toEqual(newt);
  expect([await cell(0, 2), await cell(1, 2)]).toEqual([fox, fox]);
  for (const end of [owl, newt, fox]) expect(await cell(0, 1)).not.toEqual(end);

  const animation = at('ways/interpolation.webp');
  const { pages, delay, loop } = await sharp(animation, { animated: true }).metadata();
  expect({ pages, delay, loop }).toEqual({ pages: 4, delay: [600, 80, 600, 80], loop: 0 });
  const shown = (frame: number, way: number) => pictureAt(animation, PADDING + way * STRIDE, PADDING, frame);
  expect([await shown(0, 0), await shown(0, 1), await shown(2, 1)]).toEqual([owl, newt, fox]);
  expect([await shown(1, 0), await shown(3, 1)]).toEqual([await cell(0, 1), await cell(1, 1)]);
});

test('without a seed at the end the noise stays, also in latents, which are decoded', async () => {
  const flags = ['--classes', 'owl', '--to-classes', 'newt', '--interpolate', '2', '--json'];
  const decoding = ['--autoencoder', at('vae.safetensors')];
  const { code, out } = await sample('latents', 'noise', ...flags, ...decoding);
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    ...{ autoencoder: 'tiny-kl', seed: 0, toSeed: null, picturesPerWay: 2 },
    ways: [{ from: { label: 1, index: 0 }, to: { label: 2, index: 0 } }],
    ...{ sheet: 'ROOT/noise/interpolation.png', animation: null },
  });
  const lost = await sample('latents', 'none', ...flags);
  expect([lost.code, lost.err]).toEqual([
    2,
    expect.stringContaining('--interpolate: U-DiT-XS draws latents, and there is no autoencoder'),
  ]);
});

test('what does not fit is one clear error, and nothing is written', async () => {
  const way = ['--interpolate', '3', '--to-seed', '1'];
  const errors = [
    await sample('pixels', 'none', '--animate'),
    await sample('pixels', 'none', '--to-seed', '1'),
    await sample('pixels', 'none', '--interpolate', '3'),
    await sample('pixels', 'none', '--interpolate', '3', '--to-seed', '0'),
    await sample('pixels', 'none', '--interpolate', '3', '--to-classes', 'owl'),
    await sample('pixels', 'none', '--interpolate', '3', '--to-classes', 'owl,newt'),
    await sample('pixels', 'none', '--interpolate', '3', '--to-classes', 'owls'),
    await sample('pixels', 'none', ...way, '--npz', '--mask', 'hole.png', '--part', '1/2'),
    await sample('latents', 'none', ...way, '--latents', '--previews'),
  ];
  expect(errors.map(({ code, err }) => `${code} ${err}`).join('')).toMatchInlineSnapshot(`
    "2 ConfigError: --animate: there is no way from one picture to another that it could be of
      fix: add --interpolate 8, or leave --animate out
    2 ConfigError: --to-seed: there is no way from one picture to another that it could be of
      fix: add --interpolate 8, or leave --to-seed out
    2 ConfigError: --interpolate: the way of class 0 ends where it begins: class and seed are the same
      fix: add --to-seed, or other classes with --to-classes
    2 ConfigError: --interpolate: the way of class 0 ends where it begins: class and seed are the same
      fix: add --to-seed, or other classes with --to-classes
    2 ConfigError: --interpolate: the way of class 1 ends where it begins: class and seed are the same
      fix: add --to-seed, or other classes with --to-classes
    2 ConfigError: --to-classes: 2 classes are at the end of the ways, and 3 at their beginning
      fix: give one for each of --classes, or one for all
    2 ConfigError: --to-classes: there is no class "owls": the model has 3, numbered 0 to 2
      classes  0 Red Fox, 1 Owl, 2 Newt
      fix: did you mean "Owl"?
    2 ConfigError: --interpolate: pictures on a way go from noise to noise into a sheet, which --mask, --part, --npz cannot change
      fix: leave --mask, --part, --npz out
    2 ConfigError: --interpolate: pictures on a way go from noise to noise into a sheet, which --previews, --latents cannot change
      fix: leave --previews, --latents out
    "
  `);
  expect(await readdir(root)).not.toContain('none');
});
