/** @file `udit sample` that begins with a picture, for models of pixels and of latents. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { hostTensor, toNumbers } from '../src/core/host-tensor.ts';
import type { LatentSpace } from '../src/core/image-space.ts';
import { decodeRgb } from '../src/data/images/image-decode-node.ts';
import { compileInference } from '../src/engine/compile/inference.ts';
import { graphOf } from '../src/engine/graph/graph.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { writeModel } from '../src/models/write-model-node.ts';
import { traceNetwork } from '../src/networks/trace.ts';
import { encodePicture } from '../src/tasks/encoding/encode-picture.ts';
import { readInitPicture } from '../src/tasks/sampling/init-picture-node.ts';
import { expectClose } from './support/closeness.ts';
import { runUdit } from './support/run-udit.ts';
import { tinyAutoencoder } from './support/tiny-autoencoder.ts';
import { tinyCard, tinyDiTSpec, tinySpec, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

let root: string;
const at = (name: string): string => join(root, name);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit init '));
  vi.stubEnv('UDIT_CACHE', at('cache'));
  await writeTinyCheckpoint(at('pixels.safetensors'), tinyCard({ spec: tinyDiTSpec() }));
  const autoencoder = tinyAutoencoder();
  await writeModel(at('vae.safetensors'), { ...autoencoder, source: 'model' });
  const space = autoencoder.card.space;
  await writeTinyCheckpoint(
    at('latents.safetensors'),
    tinyCard({ spec: tinySpec({ inChannels: 4 }), space }),
  );
  for (const side of [8, 16]) {
    const levels = Uint8Array.from({ length: side * side * 3 }, (_, i) => (i * 37) % 256);
    await sharp(levels, { raw: { width: side, height: side, channels: 3 } })
      .png()
      .toFile(at(`picture-${side}.png`));
    // The right half is white.
    const mask = Uint8Array.from({ length: side * side }, (_, i) => (i % side >= side / 2 ? 255 : 0));
    await sharp(mask, { raw: { width: side, height: side, channels: 1 } })
      .png()
      .toFile(at(`mask-${side}.png`));
  }
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

const sample = (model: string, folder: string, ...flags: readonly string[]) =>
  runUdit(
    [
      ...[
        'sample',
        at(`${model}.safetensors`),
        '--steps',
        '4',
        '--workers',
        '1',
        '--count',
        '1',
        '--classes',
        'owl',
      ],
      ...['--no-cache', '--out', at(folder), ...flags],
    ],
    root,
  );
const pixelsOf = async (path: string): Promise<Uint8Array> => (await decodeRgb(path)).image.data;

test('a picture of pixels: what the mask keeps comes out as it is, the rest is drawn', async () => {
  const picture = await pixelsOf(at('picture-8.png'));
  const flags = ['--init-image', at('picture-8.png'), '--mask', at('mask-8.png')];
  const { code, err, out } = await sample('pixels', 'masked', ...flags);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toContain('begun with ROOT/picture-8.png at strength 1, anew where ROOT/mask-8.png is white\n');
  const drawn = await pixelsOf(at('masked/owl-0-0.png'));
  const half = (pixels: Uint8Array, right: boolean): number[] =>
    Array.from(pixels).filter((_, i) => Math.floor(i / 3) % 8 >= 4 === right);
  // From bytes to model values and back: the reference rounds up from the middle between two levels.
  const distances = half(drawn, false).map((level, i) => Math.abs(level - half(picture, false)[i]!));
  expect(Math.max(...distances)).toBeLessThanOrEqual(1);
  expect(half(drawn, true)).not.toEqual(half(picture, true));
});

test('guidance in an interval that no step begins in is given up with a note where the model suggests it', async () => {
  const card = tinyCard({ spec: tinyDiTSpec(), guidance: { cfgScale: 3, cfgInterval: [0.05, 0.8] } });
  await writeTinyCheckpoint(at('guided.safetensors'), card);
  const { code, err, out } = await sample('guided', 'guided', '--steps', '1');
  expect({ code, err }).toEqual({
    code: 0,
    err: 'note: all steps are guided: none begins from 0.05 to 0.8, which the model suggests\n',
  });
  expect(out).toContain('1 step, cfg scale 3, seed 0');
  const asked = await sample('guided', 'guided', '--steps', '1', '--cfg-interval', '0.05,0.8');
  expect([asked.code, asked.err]).toEqual([2, expect.stringContaining('no step begins from 0.05 to 0.8')]);
});

test('the strength decides how much of the picture is left, and is part of what a file was drawn with', async () => {
  const picture = await pixelsOf(at('picture-8.png'));
  const distanceAt = async (strength: string): Promise<number> => {
    const flags = ['--init-image', at('picture-8.png'), '--strength', strength, '--json'];
    const { code, out } = await sample('pixels', 'strength', ...flags);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ strength: Number(strength), mask: null });
    const drawn = await pixelsOf(at('strength/owl-0-0.png'));
    return Math.hypot(...drawn.map((level, i) => level - picture[i]!));
  };
  const [little, much] = [await distanceAt('0.55'), await distanceAt('1')];
  expect(little).toBeLessThan(much);
  const { out } = await sample('pixels', 'default', '--init-image', at('picture-8.png'));
  expect(out).toContain('1 step,');
  expect(out).toContain('begun with ROOT/picture-8.png at strength 0.6\n');
});

test('a picture becomes a latent: the mean as the model has it, kept where no pixel is white', async () => {
  const flags = ['--autoencoder', at('vae.safetensors'), '--init-image', at('picture-16.png')];
  const masked = await sample('latents', 'decoded', ...flags, '--mask', at('mask-16.png'));
  expect(masked).toMatchObject({ code: 0, err: '' });
  expect(masked.out).toContain('latents decoded by tiny-kl');

  const { network, card, weights } = tinyAutoencoder();
  const space = card.space as LatentSpace;
  const size = { height: 8, width: 8 };
  const { image, mask } = await readInitPicture(at('picture-16.png'), at('mask-16.png'), {
    ...{ size, channels: 3, factor: space.factor },
  });
  expect(Array.from(mask!.data.subarray(0, 8))).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
  const drawn = { name: 'model', space, config: { inChannels: 4 } };
  const latent = await encodePicture({ network, card, weights }, image, { drawn, backend: cpuBackend });
  // Decoding is the inverse of what it does to the network's latent: / scale + shift.
  const session = await compileInference(
    graphOf(traceNetwork(network, { batch: 1 }).outputs),
    weights,
    cpuBackend,
  );
  const batch = hostTensor('f32', [1, ...image.shape], image.data);
  const z = hostTensor('f32', [1, 4, 8, 8], new Float32Array(256));
  const raw = (
    await session.run(
      new Map([
        ['x', batch],
        ['z', z],
      ]),
    )
  ).get('latents')!;
  await session.release();
  expect(latent.shape).toEqual([4, 8, 8]);
  expectClose(
    latent.data.map((value) => value / 3 + 0.25),
    Array.from(toNumbers(raw)),
    { relative: 1e-5 },
  );
});

test('what does not fit is one clear error, and nothing is written', async () => {
  await sharp({ create: { width: 8, height: 8, channels: 3, background: 'black' } })
    .png()
    .toFile(at('black.png'));
  const errors = [
    await sample('pixels', 'none', '--strength', '0.5'),
    await sample('pixels', 'none', '--mask', at('mask-8.png')),
    await sample('pixels', 'none', '--init-image', at('missing.png')),
    await sample('pixels', 'none', '--init-image', at('picture-8.png'), '--mask', at('mask-16.png')),
    await sample('pixels', 'none', '--init-image', at('picture-8.png'), '--mask', at('black.png')),
    await sample('pixels', 'none', '--init-image', at('picture-8.png'), '--strength', '0.05'),
    await sample('latents', 'none', '--latents', '--init-image', at('picture-16.png')),
  ];
  expect(errors.map(({ code, err }) => `${code} ${err}`).join('')).toMatchInlineSnapshot(`
    "2 ConfigError: --strength: there is no picture that it could be of
      fix: add --init-image FILE, or leave --strength out
    2 ConfigError: --mask: there is no picture that it could be of
      fix: add --init-image FILE, or leave --mask out
    2 DataError: ROOT/missing.png: it cannot be read as a picture: the file cannot be opened (ENOENT)
      fix: give a PNG, JPEG, WebP or another picture
    2 ConfigError: ROOT/mask-16.png: the mask is of 16, the picture of 8
      fix: give a mask of the same size, height x width
    2 ConfigError: ROOT/black.png: nothing of the mask is white, so that nothing would be drawn
      fix: paint white what is to be drawn anew
    2 ConfigError: strength: no step begins at 0.05 of the way to noise: the last of 4 begins at 0.5
      fix: raise the strength, or take more steps
    2 note: latents are not decoded: tiny-kl is not on this machine; --autoencoder FILE changes that
    ConfigError: --init-image: U-DiT-XS draws latents, and there is no autoencoder to encode the picture with
      fix: name one with --autoencoder, without --latents
    "
  `);
  await expect(readFile(at('none'))).rejects.toThrow('ENOENT');
});
