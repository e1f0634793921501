import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { endedProcess } from '../../../test/support/ended-process.ts';
import { writePictureFolder } from '../../../test/support/picture-folder.ts';
import { tinyAutoencoder } from '../../../test/support/tiny-autoencoder.ts';
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../core/random.ts';
import { LATENTS_FILE } from '../../data/datasets/latents/latent-card.ts';
import { openLatents } from '../../data/datasets/latents/open-latents-node.ts';
import type { Samples } from '../../data/datasets/samples.ts';
import { isMirrored } from '../../data/images/augmentation.ts';
import { centerCrop } from '../../data/images/center-crop.ts';
import { decodeRgb } from '../../data/images/image-decode-node.ts';
import { writeModelValues } from '../../data/images/pixels.ts';
import { DiskCache } from '../../engine/compile/disk-cache-node.ts';
import { cpuBackend } from '../../engine/runtime/cpu-node.ts';
import { weightsHash } from '../../models/weights-hash-node.ts';
import { type EncodeOptions, encodePictures } from './encode-node.ts';
import { compileEncoder, type LatentEncoder } from './latent-encoder.ts';
import type { PictureFiles } from './picture-files.ts';
import { openPictures } from './picture-files-node.ts';

const size = { height: 16, width: 16 };
let root: string;
let out: string;
let source: PictureFiles;
/** Encodes one picture at a time. */
let single: LatentEncoder;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'encode-'));
  await writePictureFolder(join(root, 'photos'), { classes: ['cat', 'dog'], perClass: 5 });
  await writeFile(join(root, 'photos/cat/broken.png'), 'no picture');
  source = await openPictures(join(root, 'photos'));
  single = await compileEncoder(tinyAutoencoder(), { size, batch: 1, backend: cpuBackend });
});
afterAll(async () => {
  await single.release();
  await rm(root, { recursive: true });
});
beforeEach(async () => {
  out = await mkdtemp(join(root, 'out-'));
});

const encode = (options: Partial<EncodeOptions> = {}) =>
  encodePictures({
    ...{ source, out, autoencoder: tinyAutoencoder(), size, backend: cpuBackend, workers: 1, shardSize: 4 },
    cache: new DiskCache({ folder: join(root, 'compiled'), maxBytes: 2 ** 28 }),
    ...options,
  });

const errorOf = (work: Promise<unknown>) =>
  work.then(
    () => 'no error',
    (error: Error) => error.message.replaceAll(out, 'OUT'),
  );

async function read(samples: Samples, index: number, key: Parameters<Samples['read']>[1] = null) {
  const values = new Float32Array(4 * 8 * 8);
  await samples.read(index, key, values);
  return values;
}

/** Of the picture of this name, by an encoder for one. */
async function expectedOf(name: string, mirrored: boolean, toAutoencoder = (value: number) => value) {
  const { image } = await decodeRgb(join(root, 'photos', name), [255, 255, 255]);
  const values = new Float32Array(3 * 16 * 16);
  writeModelValues(centerCrop(image, size), values, mirrored);
  const { mean, std } = await single.encode(hostTensor('f32', [1, 3, 16, 16], values.map(toAutoencoder)));
  return { mean: mean.data, std: (std as HostTensor<'f32'>).data };
}

const largestDifference = (found: Float32Array, expected: Float32Array) =>
  Math.max(...found.map((value, i) => Math.abs(value - expected[i]!)));

const keys = Array.from({ length: 20 }, (_, i) => fold(randomKey(1), i));

test('latents of pictures and of their mirror images, with deviations, labels, names and a card', async () => {
  const { pictures, unreadable, shards } = await encode();
  expect({ pictures, unreadable, counts: shards.map((shard) => shard.pictures) }).toEqual({
    pictures: 10,
    unreadable: [{ name: 'cat/broken.png', reason: 'not an image, or of a format that cannot be read' }],
    counts: [4, 3, 3],
  });
  const { samples, recognised } = await openLatents(out);
  expect(recognised).toMatchInlineSnapshot(
    `"latents of udit; 10 pictures, classes: 2; 4×8×8; means and deviations of tiny-kl from pictures of 16 pixels; mirrored pictures encoded too"`,
  );
  expect(samples).toMatchObject({ length: 10, classNames: ['cat', 'dog'], shape: [4, 8, 8] });
  expect(samples.space).toEqual({
    kind: 'latents',
    autoencoder: 'tiny-kl',
    factor: 2,
    scale: 3,
    shift: 0.25,
    autoencoderHash: await weightsHash(tinyAutoencoder().weights),
  });
  expect(samples.sampleNames.slice(3, 6)).toEqual(['cat/3.png', 'cat/4.png', 'dog/0.png']);
  for (const index of [0, 4, 9]) {
    expect(samples.classNames[samples.labels[index]!]).toBe(samples.sampleNames[index]!.slice(0, 3));
    for (const mirrored of [false, true]) {
      const key = keys.find((each) => isMirrored(each) === mirrored)!;
      const { mean, std } = await expectedOf(samples.sampleNames[index]!, mirrored);
      const noise = normal(fold(key, 'latent'), mean.length);
      const expected = mean.map((value, i) => (value + std[i]! * noise[i]! - 0.25) * 3);
      expect(largestDifference(await read(samples, index, key), expected)).toBeLessThan(1e-4);
      if (!mirrored) {
        const likeliest = mean.map((value) => (value - 0.25) * 3);
        expect(largestDifference(await read(samples, index), likeliest)).toBeLessThan(1e-4);
      }
    }
  }
});

test('pictures may be given from 0 to 1, and the card says so', async () => {
  await encode({ pictureRange: [0, 1] });
  const { samples } = await openLatents(out);
  expect(samples.space).toMatchObject({ pictureRange: [0, 1] });
  const { mean } = await expectedOf(samples.sampleNames[0]!, false, (value) => (value + 1) / 2);
  const expected = mean.map((value) => (value - 0.25) * 3);
  expect(largestDifference(await read(samples, 0), expected)).toBeLessThan(1e-4);
});

describe('an encoding that was stopped', () => {
  const contents = async () => {
    const names = (await readdir(out)).sort();
    return Promise.all(names.map(async (name) => [name, (await readFile(join(out, name))).toString('hex')]));
  };

  test('goes on with the shards that are missing, to the same bytes, and counts nothing twice', async () => {
    await encode();
    const whole = await contents();
    await rm(join(out, LATENTS_FILE));
    await rm(join(out, 'shard-00001.safetensors'));
    await writeFile(join(out, `.shard-00001.safetensors.${endedProcess()}-7.tmp`), 'half');
    expect(await errorOf(openLatents(out))).toMatchInlineSnapshot(`
      "DataError: OUT: the encoding has not been finished: 2 of 3 shards are there
        fix: run the same udit encode again; it goes on where it was stopped"
    `);
    const progress: [number, number, number][] = [];
    const { pictures, resumed, unreadable } = await encode({
      observer: { onProgress: (done, total, before) => progress.push([done, total, before]) },
    });
    expect({ pictures, resumed, unreadable: unreadable.length }).toEqual({
      pictures: 10,
      resumed: 7,
      unreadable: 1,
    });
    expect(progress.at(-1)).toEqual([11, 11, 7]);
    expect(await contents()).toEqual(whole);
  });

  test('is stopped by a signal between batches, and leaves no half shard', async () => {
    const controller = new AbortController();
    const stopped = encode({
      signal: controller.signal,
      observer: { onProgress: (done) => done === 6 && controller.abort(new Error('stopped')) },
    });
    await expect(stopped).rejects.toThrow('stopped');
    expect(await readdir(out)).toEqual(['shard-00000.safetensors']);
  });

  test('is not mixed with other settings', async () => {
    await encode();
    expect(await errorOf(encode({ autoencoder: tinyAutoencoder(2) }))).toMatchInlineSnapshot(`
      "ConfigError: OUT/shard-00000.safetensors: it exists already, with another autoencoder
        fix: name another folder with --out, or remove this one"
    `);
    expect(await errorOf(encode({ size: { height: 32, width: 32 } }))).toContain('with another image size');
    expect(await errorOf(encode({ shardSize: 8 }))).toContain('with another number of shards');
    const fewer = { ...source, names: source.names.map((name) => name.replace('cat/1', 'cat/7')) };
    expect(await errorOf(encode({ source: fewer }))).toContain('with another list of pictures');
  });
});

test('what is damaged or replaced is one error', async () => {
  await encode();
  const shard = join(out, 'shard-00001.safetensors');
  const whole = await readFile(shard);
  const opened = () => errorOf(openLatents(out));
  await truncate(shard, whole.length - 100);
  expect(await opened()).toMatchInlineSnapshot(`
    "DataError: OUT/shard-00001.safetensors: the file is truncated: its tensors take 12349 bytes, but 12249 are there
      fix: copy it again, or remove it and encode again: the other shards stay"
  `);
  expect(await errorOf(encode())).toBe(await opened());
  const altered = Buffer.from(whole);
  altered[whole.length - 1]! ^= 1;
  await writeFile(shard, altered);
  expect((await opened()).replaceAll(/[0-9a-f]{12}…/g, 'HASH…')).toMatchInlineSnapshot(`
    "DataError: OUT/shard-00001.safetensors: its SHA-256 is HASH…, but latents.json says HASH…
      fix: the file was damaged or replaced: remove it, and run udit encode again"
  `);
  await writeFile(shard, await readFile(join(out, 'shard-00000.safetensors')));
  expect(await opened()).toMatchInlineSnapshot(`
    "DataError: OUT/shard-00001.safetensors: its place is 0, but latents.json says 1
      fix: keep the shards of each encoding in a folder of their own, or encode again"
  `);
});

test('a size that the autoencoder cannot take, and a folder of something else', async () => {
  expect(await errorOf(encode({ size: { height: 17, width: 16 } }))).toMatchInlineSnapshot(`
    "ConfigError: --image-size: 17x16 is no multiple of 2, the factor of the autoencoder
      fix: use 18x16"
  `);
  await writeFile(join(out, 'notes.txt'), 'mine');
  expect(await errorOf(encode())).toMatchInlineSnapshot(`
    "ConfigError: OUT: there is notes.txt in it, which is no shard of latents
      fix: name an empty folder with --out"
  `);
});

test('where the mirror image is another picture, the picture stands in its place', async () => {
  await encode({ source: { ...source, hasMirror: (index) => index !== 0 } });
  const { samples } = await openLatents(out);
  const key = keys.find((each) => isMirrored(each))!;
  for (const index of [0, 1]) {
    const { mean, std } = await expectedOf(samples.sampleNames[index]!, index !== 0);
    const noise = normal(fold(key, 'latent'), mean.length);
    const expected = mean.map((value, i) => (value + std[i]! * noise[i]! - 0.25) * 3);
    expect(largestDifference(await read(samples, index, key), expected)).toBeLessThan(1e-4);
  }
});

test('latents of an autoencoder that says nothing of their scale are brought to mean 0 and deviation 1', async () => {
  const { card, ...saved } = tinyAutoencoder();
  const space = { ...card.space, scale: 1, shift: 0 };
  await encode({ autoencoder: { ...saved, card: { ...card, space } } });
  const { samples } = await openLatents(out);
  const [channels, area] = [4, 8 * 8];
  const spreads = { sum: new Float64Array(channels), square: new Float64Array(channels) };
  for (let index = 0; index < samples.length; index++) {
    const values = await read(samples, index);
    const { std } = await expectedOf(samples.sampleNames[index]!, false);
    const { scale } = samples.space as { scale: readonly number[] };
    values.forEach((value, i) => {
      const channel = Math.floor(i / area);
      spreads.sum[channel]! += value;
      spreads.square[channel]! += value ** 2 + (std[i]! * scale[channel]!) ** 2;
    });
  }
  const count = samples.length * area;
  for (let channel = 0; channel < channels; channel++) {
    expect(spreads.sum[channel]! / count).toBeCloseTo(0, 4);
    expect(spreads.square[channel]! / count).toBeCloseTo(1, 4);
  }
});
