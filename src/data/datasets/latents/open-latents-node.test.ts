import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type Files,
  latentValues,
  npy,
  pickledPair,
  writeFiles,
  writeZip,
} from '../../../../test/support/latent-files.ts';
import { type HostTensor, tensorOf } from '../../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../../core/random.ts';
import { writeSafetensors } from '../../../formats/file-node.ts';
import { serialiseTorch } from '../../../formats/torch-writer.ts';
import { isMirrored } from '../../images/augmentation.ts';
import type { Samples } from '../samples.ts';
import { holdsLatents, openLatents } from './open-latents-node.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'latents-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const AREA = 16;
const same = (mean: number, deviation: number) => new Array(4).fill({ mean, deviation });
const USUAL = same(0, 5.5);
const EDM2 = [5.81, 3.25, 0.12, -2.15].map((mean) => ({ mean, deviation: 4 }));
const i64 = (value: number) =>
  ({ dtype: 'i64', shape: [1], data: BigInt64Array.of(BigInt(value)) }) as HostTensor;

async function read(samples: Samples, index: number, key: Parameters<Samples['read']>[1] = null) {
  const out = new Float32Array(samples.shape[0] * samples.shape[1] * samples.shape[2]);
  await samples.read(index, key, out);
  return out;
}

const largestDifference = (found: Float32Array, expected: Float32Array) =>
  Math.max(...found.map((value, i) => Math.abs(value - expected[i]!)));

const opened = (path = folder) => openLatents(path, { cacheFolder: null });
const errorOf = (path?: string) =>
  opened(path).then(
    () => 'no error',
    (error: Error) => error.message.replaceAll(folder, 'FOLDER'),
  );

/** Keys under which a picture is mirrored, and is not. */
const keys = Array.from({ length: 20 }, (_, i) => fold(randomKey(1), i));
const mirroring = keys.find(isMirrored)!;
const plain = keys.find((key) => !isMirrored(key))!;

describe('fast-DiT: a file of features and one of labels for each picture', () => {
  const latent = (seed: number, pictures = 1, deviation = 1) =>
    tensorOf(
      'f32',
      [pictures, 4, 4, 4],
      latentValues(seed, new Array(4 * pictures).fill({ mean: 0, deviation }), AREA),
    );
  const pairs = (count: number, feature = (i: number) => latent(i)): Files =>
    Object.fromEntries(
      Array.from({ length: count }, (_, i) => [
        [`imagenet256_features/${i}_0.npy`, npy(feature(i))] as const,
        [`imagenet256_labels/${i}_0.npy`, npy(i64(i % 3))] as const,
      ]).flat(),
    );

  test('are samples, and read as they are', async () => {
    await writeFiles(folder, pairs(5));
    const { samples, recognised } = await opened();
    expect(samples).toMatchObject({ length: 5, shape: [4, 4, 4], classNames: ['0', '1', '2'] });
    expect([...(samples.labels as Int32Array)]).toEqual([0, 1, 2, 0, 1]);
    expect(samples.space).toMatchObject({ kind: 'latents', factor: 8, scale: 0.18215 });
    expect(await read(samples, 1, mirroring)).toEqual(latent(1).data);
    expect(recognised).toMatchInlineSnapshot(
      `"latents of fast-DiT; 5 pictures, classes: 3; 4×4×4; samples with a deviation of 0.96, scaled by 0.18215 already; no mirrored pictures"`,
    );
  });

  test('of two pictures, as of DiCo, the second is the mirror image', async () => {
    await writeFiles(
      folder,
      pairs(2, (i) => latent(i, 2)),
    );
    const { samples, recognised } = await opened();
    expect(recognised).toContain('latents of DiCo');
    expect(await read(samples, 1, plain)).toEqual(latent(1, 2).data.subarray(0, 64));
    expect(await read(samples, 1, mirroring)).toEqual(latent(1, 2).data.subarray(64));
    expect(await read(samples, 1)).toEqual(latent(1, 2).data.subarray(0, 64));
  });

  test('not scaled yet are scaled, and those scaled twice are named', async () => {
    await writeFiles(
      folder,
      pairs(4, (i) => latent(i, 1, 5.5)),
    );
    const warnings: string[] = [];
    const options = { cacheFolder: null, onWarning: (text: string) => warnings.push(text) };
    const { samples } = await openLatents(folder, options);
    const expected = latent(2, 1, 5.5).data.map((value) => value * 0.18215);
    expect(largestDifference(await read(samples, 2), expected)).toBeLessThan(1e-6);
    await writeFiles(
      folder,
      pairs(4, (i) => latent(i, 1, 0.18)),
    );
    await openLatents(folder, options);
    expect(warnings.map((text) => text.replaceAll(folder, 'FOLDER'))).toMatchInlineSnapshot(`
      [
        "FOLDER: latents of this layout are scaled by 0.18215 already; these are not",
        "FOLDER: their deviation is 0.17, not about 1: they may have been scaled twice",
      ]
    `);
  });

  test('labels and features must match', async () => {
    await writeFiles(folder, pairs(3));
    await rm(join(folder, 'imagenet256_labels/1_0.npy'));
    await writeFiles(folder, { 'imagenet256_labels/7_0.npy': npy(i64(0)) });
    expect(await errorOf()).toMatchInlineSnapshot(`
      "DataError: FOLDER: 3 files of features do not match 3 of labels
        without a label   1_0.npy
        without features  7_0.npy
        fix: copy the missing files, or remove those that have no counterpart"
    `);
    await rm(join(folder, 'imagenet256_labels'), { recursive: true });
    expect(await errorOf()).toMatchInlineSnapshot(`
      "DataError: FOLDER: there is a folder imagenet256_features, but no folder imagenet256_labels
        fix: put the labels there, an .npy file for each of imagenet256_features"
    `);
  });

  test('files of several sizes, and labels that are none', async () => {
    await writeFiles(folder, { ...pairs(3), 'imagenet256_features/2_0.npy': npy(latent(2, 2)) });
    expect(await errorOf()).toMatchInlineSnapshot(`
      "DataError: FOLDER/imagenet256_features: files of several sizes: 0_0.npy has 384 bytes, 2_0.npy 640
        fix: keep latents of one size in a folder of their own, and copy files again that were cut off"
    `);
    await writeFiles(folder, { ...pairs(3), 'imagenet256_labels/2_0.npy': npy(i64(1e9)) });
    expect(await errorOf()).toMatchInlineSnapshot(`
      "DataError: FOLDER/imagenet256_labels: the label of picture 2 is 1000000000
        fix: labels are whole numbers from 0 to 99999: write them again"
    `);
    await writeFiles(folder, { ...pairs(3), 'imagenet256_labels/2_0.npy': npy(latent(0)) });
    expect(await errorOf()).toMatchInlineSnapshot(`
      "DataError: FOLDER/imagenet256_labels: 2_0.npy: its array is [1,4,4,4]; a label is one number
        fix: write one label for each picture"
    `);
  });
});

describe('EDM2 and REPA: means and deviations with a list of labels', () => {
  const distribution = (seed: number, channels = USUAL, spread = 0.5) =>
    tensorOf(
      'f32',
      [8, 4, 4],
      Float32Array.of(...latentValues(seed, channels, AREA), ...new Float32Array(64).fill(spread)),
    );
  const name = (i: number) => `0000${i % 2}/img-mean-std-0000000${i}.npy`;
  const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const data = (count: number, make = distribution): Files => ({
    ...Object.fromEntries(Array.from({ length: count }, (_, i) => [name(i), npy(make(i))])),
    'dataset.json': json({ labels: Array.from({ length: count }, (_, i) => [name(i), i % 3]) }),
  });

  test('the noise belongs to the key; without one it is the mean', async () => {
    await writeFiles(folder, data(4));
    const { samples, recognised } = await opened();
    expect(recognised).toContain('latents of REPA');
    const index = samples.sampleNames.indexOf('00001/img-mean-std-00000003');
    const { data: stored } = distribution(3);
    expect(await read(samples, index)).toEqual(stored.slice(0, 64).map((mean) => mean * 0.18215));
    const noise = normal(fold(plain, 'latent'), 64);
    const drawn = stored.slice(0, 64).map((mean, i) => Math.fround(mean + noise[i]! * 0.5) * 0.18215);
    expect(await read(samples, index, plain)).toEqual(drawn);
    expect(await read(samples, index, plain)).not.toEqual(await read(samples, index, mirroring));
  });

  test('EDM2 encodes pictures from 0 to 1, which channel means show', async () => {
    const path = join(folder, 'latents.zip');
    await writeZip(
      path,
      data(8, (seed) => distribution(seed, EDM2)),
    );
    const { samples, recognised } = await opened(path);
    expect(recognised.replace(/channel means [-\d. ]+,/, 'channel means …,')).toMatchInlineSnapshot(
      `"latents of EDM2; 8 pictures, classes: 3; 4×4×4; mean and deviation of pictures from 0 to 1 (channel means …, as of EDM2); no mirrored pictures"`,
    );
    expect(samples.space).toMatchObject({ pictureRange: [0, 1], shift: [5.81, 3.25, 0.12, -2.15] });
    const values = await read(samples, 0);
    expect(Math.abs(values.reduce((a, b) => a + b, 0) / values.length)).toBeLessThan(0.4);
  });

  test('negative spreads are logarithms of variances', async () => {
    const logVariance = 2 * Math.log(0.5);
    await writeFiles(
      folder,
      data(4, (seed) => distribution(seed, USUAL, logVariance)),
    );
    const { samples, recognised } = await opened();
    expect(recognised).toContain('mean and log-variance');
    const noise = normal(fold(plain, 'latent'), 64);
    const [drawn, mean] = [await read(samples, 0, plain), await read(samples, 0)];
    const expected = mean.map((value, i) => value + 0.5 * 0.18215 * noise[i]!);
    expect(largestDifference(drawn, expected)).toBeLessThan(1e-5);
  });

  test('files and labels must match', async () => {
    const { [name(1)]: _, ...rest } = data(4);
    await writeFiles(folder, rest);
    expect(await errorOf()).toMatchInlineSnapshot(`
      "DataError: FOLDER: 3 files of latents do not match 4 labels
        without a file  00001/img-mean-std-00000001.npy
        fix: copy the missing files, or write dataset.json again"
    `);
  });

  test('a list of pictures is not one of latents', async () => {
    await writeFiles(folder, {
      'dataset.json': json({ labels: null }),
      '00000/img00000000.png': json('a picture'),
    });
    expect(await holdsLatents(folder)).toBe(false);
  });
});

describe('U-ViT: pickled pairs of moments and label', () => {
  const moments = (seed: number, spread = -1) =>
    tensorOf(
      'f32',
      [8, 4, 4],
      Float32Array.of(...latentValues(seed, USUAL, AREA), ...new Float32Array(64).fill(spread)),
    );

  test.each(['numpy.core', 'numpy._core'])('are read as data (%s)', async (module) => {
    await writeFiles(
      folder,
      Object.fromEntries([0, 1, 2].map((i) => [`${i}.npy`, pickledPair(moments(i), i + 5, module)])),
    );
    const { samples, recognised } = await opened();
    expect(recognised).toMatch(/^latents of U-ViT; 3 pictures.*mean and log-variance/);
    expect([...(samples.labels as Int32Array)]).toEqual([5, 6, 7]);
    expect(await read(samples, 2)).toEqual(
      moments(2)
        .data.slice(0, 64)
        .map((mean) => mean * 0.18215),
    );
  });

  test('a file that is no pair', async () => {
    await writeFiles(folder, { '0.npy': pickledPair(moments(0), 1), '1.npy': npy(moments(1)) });
    expect(await errorOf()).toMatchInlineSnapshot(`
      "DataError: FOLDER: 1.npy: not an array of objects: its elements are '<f4'
        fix: the file is damaged or of another kind: copy or write it again"
    `);
  });
});

describe('LightningDiT: shards of latents and mirrored latents', () => {
  const values = (seed: number, count: number) =>
    tensorOf(
      'f32',
      [count, 32, 2, 2],
      normal(randomKey(seed), count * 128).map((value) => 3 * value + 7),
    );
  const shard = (seed: number, count: number) =>
    new Map<string, HostTensor>([
      ['latents', values(seed, count)],
      ['latents_flip', values(seed + 100, count)],
      [
        'labels',
        {
          ...i64(0),
          shape: [count],
          data: BigInt64Array.from({ length: count }, (_, i) => BigInt(i)),
        } as HostTensor,
      ],
    ]);
  const write = (name: string, seed: number, count: number) =>
    writeSafetensors(join(folder, name), shard(seed, count), {});

  test('are brought to mean 0 and deviation 1, by channel', async () => {
    await write('latents_rank00_shard000.safetensors', 1, 3);
    await write('latents_rank00_shard001.safetensors', 2, 2);
    const { samples, recognised } = await opened();
    expect(recognised).toMatchInlineSnapshot(
      `"latents of LightningDiT; 5 pictures, classes: 3; 32×2×2; samples, scaled by channel means and deviations of 5 of them: there is no latents_stats.pt; mirrored pictures encoded too"`,
    );
    expect([...(samples.labels as Int32Array)]).toEqual([0, 1, 2, 0, 1]);
    const space = samples.space as unknown as { scale: number[]; shift: number[]; factor: number };
    expect(space.factor).toBe(16);
    const row = values(102, 2).data.subarray(128);
    const expected = row.map((value, i) => (value - space.shift[i >> 2]!) * space.scale[i >> 2]!);
    const found = await read(samples, 4, mirroring);
    expect(largestDifference(found, expected)).toBeLessThan(1e-5);
    const all = await Promise.all([0, 1, 2, 3, 4].map((index) => read(samples, index)));
    const mean = all.flatMap((one) => [...one]).reduce((a, b) => a + b, 0) / (5 * 128);
    expect(Math.abs(mean)).toBeLessThan(1e-5);
  });

  test('with statistics beside them are scaled by these, which must be sound and of as many channels', async () => {
    await write('latents_rank00_shard000.safetensors', 1, 3);
    const perChannel = (value: number, channels = 32) =>
      tensorOf(
        'f32',
        [1, channels, 1, 1],
        Array.from({ length: channels }, (_, c) => value + c),
      );
    const pieces = serialiseTorch(
      new Map([
        ['mean', perChannel(2)],
        ['std', perChannel(4)],
      ]),
    );
    const path = join(folder, 'latents_stats.pt');
    await writeFile(path, Buffer.concat(pieces));
    const { samples, recognised } = await opened();
    expect(recognised).toContain('scaled by the channel means and deviations of latents_stats.pt');
    const row = values(1, 3).data.subarray(128, 256);
    const expected = row.map((value, i) => (value - (2 + (i >> 2))) / (4 + (i >> 2)));
    expect(largestDifference(await read(samples, 1), expected)).toBeLessThan(1e-5);

    await writeFile(path, Buffer.concat(pieces).subarray(0, 200));
    expect(await errorOf()).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/latents_stats.pt: the end of its zip archive is missing: the file is cut off
        fix: the file is damaged: copy or write it again"
    `);
    await writeFile(
      path,
      Buffer.concat(
        serialiseTorch(
          new Map([
            ['mean', perChannel(2, 4)],
            ['std', perChannel(4)],
          ]),
        ),
      ),
    );
    expect(await errorOf()).toMatchInlineSnapshot(`
      "DataError: FOLDER/latents_stats.pt: mean has 4 values, the latents have 32 channels
        fix: remove the file, and the statistics are computed anew"
    `);
    await rm(path);
  });

  test('mixed sizes, and a shard that is cut off', async () => {
    await write('a.safetensors', 1, 3);
    const other = new Map<string, HostTensor>([
      ['latents', tensorOf('f32', [1, 4, 2, 2], new Array(16).fill(0))],
      ['labels', i64(0)],
    ]);
    await writeSafetensors(join(folder, 'b.safetensors'), other, {});
    expect(await errorOf()).toMatchInlineSnapshot(`
      "DataError: FOLDER: latents of several sizes: [32,2,2] in a.safetensors, [4,2,2] in b.safetensors
        fix: keep latents of one size in a folder of their own"
    `);
    await writeFile(join(folder, 'b.safetensors'), new Uint8Array(5));
    expect(await errorOf()).toMatchInlineSnapshot(`
      "DataError: FOLDER/b.safetensors: the file has 5 bytes, but its header size alone takes 8
        fix: copy it again, or remove it and encode again: the other shards stay"
    `);
  });
});

test('what is no latents is not taken for some', async () => {
  await writeFiles(folder, { 'cats/1.png': new Uint8Array(3), 'notes.txt': new Uint8Array(3) });
  expect(await holdsLatents(folder)).toBe(false);
  expect(await holdsLatents(join(folder, 'nothing'))).toBe(false);
  expect(await errorOf()).toMatchInlineSnapshot(`
    "DataError: FOLDER: there are no latents of a layout that is known
      fix: give a folder of udit encode, fast-DiT, DiCo, EDM2, REPA, U-ViT or LightningDiT"
  `);
});
