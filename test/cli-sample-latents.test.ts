/** @file `udit sample` with a model of latents and an autoencoder that decodes them, from the command line to the files. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { HostTensor } from '../src/core/host-tensor.ts';
import { USUAL_LATENTS } from '../src/core/image-space.ts';
import { randomKey } from '../src/core/random.ts';
import { toPixels } from '../src/data/images/pixels.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { parseNpz } from '../src/formats/npz.ts';
import { serialiseSafetensors } from '../src/formats/safetensors.ts';
import { findPublished } from '../src/models/hub/catalogue.ts';
import { WeightsCache } from '../src/models/hub/weights-cache-node.ts';
import { openAutoencoder } from '../src/models/open-autoencoder-node.ts';
import type { AutoencoderCard } from '../src/models/saved-model.ts';
import { writeModel } from '../src/models/write-model-node.ts';
import { AutoencoderKL } from '../src/networks/autoencoders/autoencoder-kl.ts';
import { TAESD_PRESETS } from '../src/networks/autoencoders/presets.ts';
import { Taesd } from '../src/networks/autoencoders/taesd.ts';
import { initialise } from '../src/networks/nn/initialise.ts';
import { createDecoder } from '../src/tasks/sampling/latent-decoder.ts';
import { runUdit } from './support/run-udit.ts';
import { tinyCard, tinyDiTSpec, tinySpec, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

const SPACE = { kind: 'latents', autoencoder: 'tiny-kl', factor: 2, scale: 0.5, shift: 0.25 } as const;
const network = new AutoencoderKL({
  ...{ inputSize: 16, inChannels: 3, latentChannels: 4, factor: 2, levelChannels: [8, 16] },
  ...{ layersPerLevel: 1, normGroups: 4, midAttention: true, quantConv: true },
});

let root: string;
let model: string;
let autoencoder: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit latents '));
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  model = join(root, 'model.safetensors');
  await writeTinyCheckpoint(model, tinyCard({ spec: tinySpec({ inChannels: 4 }), space: SPACE }));
  autoencoder = await writeAutoencoder('tiny-kl', {});
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

async function writeAutoencoder(name: string, space: Partial<typeof SPACE>): Promise<string> {
  const card: AutoencoderCard = {
    ...{ role: 'autoencoder', name, step: 0, nimg: 0 },
    spec: { family: 'AutoencoderKL', config: network.config },
    space: { ...SPACE, ...space, autoencoder: name },
  };
  const path = join(root, `${name}.safetensors`);
  await writeModel(path, {
    card,
    weights: initialise(network, network.initRule, randomKey(3)),
    source: 'model',
  });
  return path;
}

async function sample(folder: string, ...flags: readonly string[]) {
  const outcome = await runUdit(
    [
      ...['sample', model, '--steps', '2', '--workers', '1', '--count', '2', '--classes', 'owl,newt'],
      ...['--out', join(root, folder), ...flags],
    ],
    root,
  );
  return { ...outcome, out: outcome.out.replace(/\d+\.\d+ s each/, '#.## s each') };
}

test('latents are decoded to PNG files, a sheet, an archive and previews', async () => {
  const { code, err, out } = await sample('decoded', '--autoencoder', autoencoder, '--npz', '--previews');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatchInlineSnapshot(`
    "U-DiT-XS, step 20, EMA weights (ROOT/model.safetensors)
    4 images by dpm++2m, 2 steps, cfg scale 3, seed 0
    latents decoded by tiny-kl, at most 65.5 kB each beside its weights
    1 worker of 1 thread, batches of 1, at most 81.4 MB each
    4 images in ROOT/decoded, #.## s each
    grid     ROOT/decoded/grid.png
    previews ROOT/decoded/previews.png, decoded by tiny-kl
    archive  ROOT/decoded/samples_4x16x16x3.npz
    "
  `);
  expect(await readdir(join(root, 'decoded'))).toMatchInlineSnapshot(`
    [
      "grid.png",
      "newt-0-0.png",
      "newt-0-1.png",
      "owl-0-0.png",
      "owl-0-1.png",
      "previews.png",
      "samples_4x16x16x3.npz",
    ]
  `);

  // The archive of latents, decoded by the same network in one batch, has the pixels of the PNG files.
  expect((await sample('latents', '--latents')).code).toBe(0);
  const latents = parseNpz(await readFile(join(root, 'latents', 'latents_4x4x8x8.npz')), 'latents').get(
    'arr_0',
  );
  const opened = await openAutoencoder(autoencoder);
  const decoder = await createDecoder(opened, {
    drawn: { name: 'model', space: SPACE, config: { inChannels: 4 } },
    size: { height: 8, width: 8 },
    backend: cpuBackend,
  });
  await opened.close();
  const pixels = toPixels(await decoder.decode(latents as HostTensor<'f32'>));
  await decoder.release();
  const archive = parseNpz(await readFile(join(root, 'decoded', 'samples_4x16x16x3.npz')), 'samples').get(
    'arr_0',
  )!;
  expect(archive.shape).toEqual([4, 16, 16, 3]);
  expect(differing(archive as HostTensor<'u8'>, pixels)).toBeLessThan(0.01);
  const { width, height } = await sharp(join(root, 'decoded', 'owl-0-0.png')).metadata();
  expect({ width, height }).toEqual({ width: 16, height: 16 });
});

/** The share of bytes that differ by more than a rounding. */
function differing(a: HostTensor<'u8'>, b: HostTensor<'u8'>): number {
  expect(a.shape).toEqual(b.shape);
  return a.data.filter((byte, i) => Math.abs(byte - b.data[i]!) > 1).length / a.data.length;
}

test('previews are decoded by the tiny autoencoder where it was fetched, else shown by a linear map', async () => {
  const usual = join(root, 'usual.safetensors');
  const card = tinyCard({ spec: tinyDiTSpec(), space: USUAL_LATENTS });
  const spec = { ...card.spec, config: { ...card.spec.config, inChannels: 4 } } as typeof card.spec;
  await writeTinyCheckpoint(usual, { ...card, spec });
  const draw = async (folder: string) => {
    const flags = ['--steps', '2', '--workers', '1', '--classes', 'owl', '--count', '1'];
    const kinds = ['--latents', '--previews', '--out', join(root, folder)];
    const { code, out } = await runUdit(['sample', usual, ...flags, ...kinds], root);
    expect(code).toBe(0);
    const { width, height } = await sharp(join(root, folder, 'previews.png')).metadata();
    return { told: /^previews .*$/m.exec(out)![0].replace(/^\S+ \S+/, ''), width, height };
  };
  const colours = await draw('colours');
  expect(colours.told).toBe(' as colours by a linear map of their four channels');

  const tiny = new Taesd({ ...TAESD_PRESETS.TAESD!, width: 8 });
  const bytes = Buffer.concat(serialiseSafetensors(initialise(tiny, tiny.initRule, randomKey(2)), {}));
  const cache = new WeightsCache();
  const file = findPublished('TAESD')!;
  await mkdir(cache.folder, { recursive: true });
  await writeFile(cache.pathOf(file), bytes);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  await cache.record(file, { url: file.url, bytes: bytes.length, sha256, hashSource: 'first download' });
  const decoded = await draw('decoded-previews');
  expect(decoded.told).toBe(' decoded by TAESD');
  // Pictures of 64 pixels take more room than latents of 8.
  expect([decoded.width, decoded.height]).not.toEqual([colours.width, colours.height]);
  await rm(cache.folder, { recursive: true });
});

test('in tiles, whose size and memory are printed', async () => {
  const flags = ['--autoencoder', autoencoder, '--image-size', '32x48', '--classes', 'owl', '--count', '1'];
  const { code, out } = await sample('tiles', ...flags, '--tile', '16');
  expect(code).toBe(0);
  expect(out).toContain('latents decoded by tiny-kl in tiles of 20, blended, at most ');
  const { width, height } = await sharp(join(root, 'tiles', 'owl-0-0.png')).metadata();
  expect({ width, height }).toEqual({ width: 48, height: 32 });
  const latents = [...flags.slice(0, 2), '--latent-size', '16x24', ...flags.slice(4)];
  expect(await sample('tiles of latents', ...latents, '--tile', '16')).toMatchObject({ code: 0 });
  expect(await readFile(join(root, 'tiles of latents', 'owl-0-0.png'))).toEqual(
    await readFile(join(root, 'tiles', 'owl-0-0.png')),
  );
  const odd = await sample('odd tiles', ...flags, '--tile', '15');
  expect(odd.err).toMatchInlineSnapshot(`
    "ConfigError: --tile: 15 is not a multiple of 2, the factor between pictures and latents
      fix: use 16
    "
  `);
});

test('an autoencoder of other latents is refused with both names', async () => {
  const { code, err } = await sample('refused', '--autoencoder', await writeAutoencoder('other-kl', {}));
  expect(code).toBe(2);
  expect(err).toMatchInlineSnapshot(`
    "ConfigError: other-kl: U-DiT-XS draws latents of tiny-kl, other-kl decodes those of other-kl
      fix: decode with tiny-kl
    "
  `);
});

test('the autoencoder of a model that is not there, and one for a model of pixels', async () => {
  const { code, err } = await sample('undecoded');
  expect({ code, err }).toMatchInlineSnapshot(`
    {
      "code": 0,
      "err": "note: latents are not decoded: tiny-kl is not on this machine; --autoencoder FILE changes that
    ",
    }
  `);
  expect(
    await sample('missing', '--autoencoder', 'TAESD').then(({ err }) => err.replaceAll(root, '')),
  ).toMatchInlineSnapshot(`
    "DownloadError: TAESD: these published weights are not in the cache, ROOT/cache/weights
      fix: fetch them with: npx udit fetch TAESD (9.80 MB)
    "
  `);
  const pixels = await runUdit(['sample', '--autoencoder', autoencoder, '--out', join(root, 'x')], root);
  expect(pixels).toMatchObject({ code: 2, err: expect.stringContaining('draws pixels, not latents') });
});
