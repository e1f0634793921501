/** @file From pictures to a latent diffusion model and back to pictures, on the command line. */
import { copyFile, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openLatents } from '../src/data/datasets/latents/open-latents-node.ts';
import { decodeRgb } from '../src/data/images/image-decode-node.ts';
import { openModel } from '../src/models/open-node.ts';
import { weightsHash } from '../src/models/weights-hash-node.ts';
import { writeModel } from '../src/models/write-model-node.ts';
import { writePictureFolder } from './support/picture-folder.ts';
import { runUdit } from './support/run-udit.ts';
import { tinyAutoencoder } from './support/tiny-autoencoder.ts';
import { TINY_DIT_FLAGS } from './support/tiny-training.ts';

let root: string;
let autoencoder: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit-encode-'));
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  autoencoder = join(root, 'tiny-kl.safetensors');
  await writeModel(autoencoder, tinyAutoencoder());
  await writePictureFolder(join(root, 'photos'), { classes: ['cat', 'dog'], perClass: 4 });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

const udit = (...args: readonly string[]) => runUdit(args, root);

const TINY = [...TINY_DIT_FLAGS, '--sample-every', '2'];

test('pictures → latents → training → decoded pictures', async () => {
  await writeFile(join(root, 'photos/dog/broken\n\x1b[31m.jpg'), 'none');
  const latents = join(root, 'latents');
  const encode = ['encode', join(root, 'photos'), '--out', latents, '--autoencoder', autoencoder];
  const encoded = await udit(...encode, '--image-size', '16', '--threads', '1');
  await rm(join(root, 'photos/dog/broken\n\x1b[31m.jpg'));
  expect({ ...encoded, err: encoded.err.replaceAll(/^encoding .*\n/gm, '') }).toMatchInlineSnapshot(`
    {
      "code": 0,
      "err": "9 pictures, classes: 2; a folder for each class
    warning: dog/broken\\x0a\\x1b[31m.jpg is left out: not an image, or of a format that cannot be read
    ",
      "out": "encoded     8 pictures in 1 shard of ROOT/latents, 33.9 kB
    left out    1, listed in latents.json
    train       npx udit train --data-path ROOT/latents
    ",
    }
  `);

  const run = ['--results-dir', join(root, 'runs'), '--name', 'a'];
  const trained = await udit(
    'train',
    '--data-path',
    latents,
    '--autoencoder',
    autoencoder,
    ...run,
    ...TINY,
    '--steps',
    '2',
  );
  expect(trained.out, trained.err).toContain('finished at step 2');
  expect(trained.err).toContain('latents of udit; 8 pictures, classes: 2; 4×8×8');
  expect(trained.err).not.toContain('not decoded');
  const sheet = await decodeRgb(join(root, 'runs/a/samples/step-0000002.png'), null);
  expect(sheet.image.height).toBeGreaterThan(2 * 16);
  const { card } = await openModel(join(root, 'runs/a'));
  expect(card.space).toEqual({
    ...{ kind: 'latents', autoencoder: 'tiny-kl', factor: 2, scale: 3, shift: 0.25 },
    autoencoderHash: await weightsHash(tinyAutoencoder().weights),
    autoencoderPath: autoencoder,
  });

  const sample = (out: string, ...flags: readonly string[]) =>
    udit(
      ...['sample', join(root, 'runs/a'), '--count', '1', '--steps', '2', '--out', join(root, out)],
      ...flags,
    );
  // The autoencoder is found where it was when the pictures were encoded.
  for (const [out, ...flags] of [['told', '--autoencoder', autoencoder], ['found']] as const) {
    const drawn = await sample(out, ...flags);
    expect(drawn.code, drawn.err).toBe(0);
    const pictures = (await readdir(join(root, out))).filter((name) => /^(cat|dog).*\.png$/.test(name));
    expect(pictures, drawn.out).toHaveLength(2);
    const { image } = await decodeRgb(join(root, out, pictures[0]!), null);
    expect([image.width, image.height]).toEqual([16, 16]);
  }

  const others = join(root, 'others.safetensors');
  await writeModel(others, tinyAutoencoder(2));
  const refused = await sample('refused', '--autoencoder', others);
  const hashes = await Promise.all([1, 2].map((seed) => weightsHash(tinyAutoencoder(seed).weights)));
  const [own, other] = hashes.map((hash) => hash.slice(0, 12));
  expect(refused).toEqual({
    code: 2,
    out: '',
    err: `ConfigError: tiny-kl: the latents are those of weights ${own}…; this autoencoder has the same name and weights ${other}…
  fix: give the autoencoder that encoded the pictures; it was ROOT/tiny-kl.safetensors then
`,
  });
  await rename(autoencoder, join(root, 'kept'));
  await copyFile(others, autoencoder);
  const undecoded = await sample('undecoded');
  await rename(join(root, 'kept'), autoencoder);
  expect(undecoded.code).toBe(0);
  expect(undecoded.err).toContain(
    'latents are not decoded: ROOT/tiny-kl.safetensors has other weights than when the pictures were encoded; --autoencoder FILE changes that',
  );
});

test('latents in a public layout too, in a folder beside', async () => {
  const encode = (out: string, ...flags: readonly string[]) =>
    udit(
      ...['encode', join(root, 'photos'), '--out', join(root, out), '--autoencoder', autoencoder],
      ...['--image-size', '16', '--threads', '1', ...flags],
    );
  const first = await encode('plain', '--layout', 'fast-dit');
  expect(first.out, first.err).toContain('also        ROOT/plain-fast-dit\n');
  const { samples } = await openLatents(join(root, 'plain-fast-dit'), { cacheFolder: null });
  expect(samples).toMatchObject({ length: 8, shape: [4, 8, 8] });
  expect(Array.from(samples.labels)).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
  const again = await encode('plain', '--layout', 'lightningdit', '--json');
  expect(JSON.parse(again.out)).toMatchObject({ resumed: 8, layout: 'ROOT/plain-lightningdit' });
  // EDM2 gives its autoencoder pictures from 0 to 1: those are other latents.
  expect((await encode('plain', '--layout', 'edm2')).err).toContain(
    'it exists already, with another range of pictures',
  );
  expect((await encode('unit', '--layout', 'edm2')).code).toBe(0);
  expect((await openLatents(join(root, 'unit'))).samples.space).toMatchObject({ pictureRange: [0, 1] });
});

test('pictures with an autoencoder are encoded once, and the same command goes on', async () => {
  const command = [
    ...['train', '--data-path', join(root, 'photos'), '--autoencoder', autoencoder, '--image-size', '16'],
    ...['--results-dir', join(root, 'fly'), ...TINY],
  ];
  expect((await udit(...command, '--steps', '4', '--dry-run')).err).toMatchInlineSnapshot(`
    "ConfigError: --dry-run: the pictures of ROOT/photos have to be encoded first
      fix: leave --dry-run out, or run npx udit encode and give its folder with --data-path
    "
  `);
  const first = await udit(...command, '--steps', '4', '--stop-after', '2');
  expect(first.out, first.err).toContain('stopped at step 2');
  const second = await udit(...command, '--steps', '4');
  expect(second.out, second.err).toContain('finished at step 4');
  expect(await readdir(join(root, 'fly'))).toEqual(['dit-s-2-photos']);
  const { data } = JSON.parse(await readFile(join(root, 'fly/dit-s-2-photos/config.json'), 'utf8'));
  expect(data).toMatchObject({ kind: 'latents', imageSize: 16 });
});
