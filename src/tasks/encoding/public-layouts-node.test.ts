import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endedProcess } from '../../../test/support/ended-process.ts';
import { latentValues } from '../../../test/support/latent-files.ts';
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../core/random.ts';
import { LATENTS_FILE, LATENTS_FORMAT, type LatentCard } from '../../data/datasets/latents/latent-card.ts';
import { openLatents } from '../../data/datasets/latents/open-latents-node.ts';
import type { Samples } from '../../data/datasets/samples.ts';
import { openTensorFile, readSafetensors } from '../../formats/file-node.ts';
import { serialiseSafetensors } from '../../formats/safetensors.ts';
import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import { sha256OfFile } from '../../host/files/digest-node.ts';
import { PUBLIC_LAYOUTS, rangeOfLayout, writePublicLayout } from './public-layouts-node.ts';

const SHAPE = [4, 4, 4] as const;
const ROW = 64;
/** Pictures of each shard: 12 of them, so that names by number are not in the order of numbers. */
const SHARDS = [8, 4];
const COUNT = 12;
const NAMES = Array.from({ length: COUNT }, (_, i) => `cat/${i}.png`);
/** Channels as the usual autoencoder gives them for pictures from −1 to 1, and from 0 to 1. */
const CHANNELS = {
  usual: [0.5, -0.4, 0.3, -0.2].map((mean) => ({ mean, deviation: 5.5 })),
  unit: [5.8, 3.2, 0.1, -2.1].map((mean) => ({ mean, deviation: 3.5 })),
};
type Kind = keyof typeof CHANNELS;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'layouts-'));
});
afterAll(() => rm(root, { recursive: true }));

/** Means of a picture, or of its mirror image. */
const meanOf = (kind: Kind, index: number, mirrored = false) =>
  latentValues(2 * index + Number(mirrored), CHANNELS[kind], 16);
const stdOf = (index: number, mirrored = false) =>
  Float32Array.from({ length: ROW }, (_, i) => 0.01 + 0.001 * i + 0.1 * index + Number(mirrored));

/** Finished shards as `encodePictures` writes them. */
async function writeShards(name: string, kind: Kind = 'usual'): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder);
  const card: LatentCard = {
    space: { kind: 'latents', autoencoder: 'tiny', factor: 8, scale: 0.18215, shift: 0 },
    autoencoderHash: 'abc',
    pictures: { imageSize: 256, crop: 'center', orientation: 'follow', background: 'white' },
    classNames: ['cat', 'dog'],
  };
  const listed = [];
  let first = 0;
  for (const [shard, pictures] of SHARDS.entries()) {
    const indices = Array.from({ length: pictures }, (_, i) => first + i);
    const rows = (rowOf: (index: number) => Float32Array) =>
      hostTensor('f32', [pictures, ...SHAPE], Float32Array.from(indices.flatMap((i) => [...rowOf(i)])));
    const names = new TextEncoder().encode(JSON.stringify(indices.map((i) => NAMES[i])));
    const tensors = new Map<string, HostTensor>([
      ['mean', rows((i) => meanOf(kind, i))],
      ['mean_mirrored', rows((i) => meanOf(kind, i, true))],
      ['std', rows((i) => stdOf(i))],
      ['std_mirrored', rows((i) => stdOf(i, true))],
      [
        'labels',
        hostTensor(
          'i64',
          [pictures],
          BigInt64Array.from(indices, (i) => BigInt(i % 2)),
        ),
      ],
      ['names', hostTensor('u8', [names.length], names)],
    ]);
    const file = `shard-0000${shard}.safetensors`;
    const own = { card, shard, shards: SHARDS.length, unreadable: [] };
    const chunks = serialiseSafetensors(tensors, { format: LATENTS_FORMAT, shard: JSON.stringify(own) });
    await writeFileAtomic(join(folder, file), chunks);
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    listed.push({ file, pictures, bytes, sha256: await sha256OfFile(join(folder, file)) });
    first += pictures;
  }
  const list = { format: LATENTS_FORMAT, card, shards: listed, unreadable: [] };
  await writeFile(join(folder, LATENTS_FILE), JSON.stringify(list));
  return folder;
}

async function read(samples: Samples, index: number): Promise<Float32Array> {
  const values = new Float32Array(ROW);
  await samples.read(index, null, values);
  return values;
}

/** The sample of a picture that layouts of samples hold: mean + deviation · noise, as the autoencoder gave it. */
function drawn(index: number, mirrored = false): Float32Array {
  const noise = normal(fold(randomKey(0), 'layout', NAMES[index]!, 'latent'), ROW);
  const std = stdOf(index, mirrored);
  return meanOf('usual', index, mirrored).map((mean, i) => mean + std[i]! * noise[i]!);
}

const largestDifference = (found: Float32Array, expected: Float32Array) =>
  Math.max(...expected.map((value, i) => Math.abs(found[i]! - value)));

/** In the order of the reader, the number of each picture. */
const indexIn = (sampleName: string) => Number(/(\d+)(?:\.npy)?$/.exec(sampleName)![1]);

describe('what is written in a layout is recognised as it, with equal values', () => {
  test.each(['fast-dit', 'u-dit'] as const)('%s: scaled samples', async (layout) => {
    const out = await writePublicLayout(layout, await writeShards(layout));
    expect(out).toBe(join(root, `${layout}-${layout}`));
    expect((await readdir(out)).sort()).toEqual([
      '.udit-layout',
      'imagenet256_features',
      'imagenet256_labels',
    ]);
    const { samples, recognised } = await openLatents(out, { cacheFolder: null });
    expect(recognised).toMatch(
      /latents of fast-DiT; 12 pictures, classes: 2; 4×4×4; .*scaled by 0.18215 already/,
    );
    for (const [at, name] of samples.sampleNames.entries()) {
      const index = indexIn(name);
      expect(samples.labels[at]).toBe(index % 2);
      const expected = drawn(index).map((value) => value * 0.18215);
      expect(largestDifference(await read(samples, at), expected)).toBeLessThan(1e-5);
    }
  });

  test.each([
    ['edm2', 'unit', 'EDM2', /of pictures from 0 to 1/],
    ['repa', 'usual', 'REPA', /of pictures from −1 to 1/],
  ] as const)('%s: means and deviations', async (layout, kind, called, range) => {
    const out = await writePublicLayout(layout, await writeShards(layout, kind));
    const { samples, recognised } = await openLatents(out, { cacheFolder: null });
    expect(recognised).toContain(`latents of ${called}; 12 pictures, classes: 2`);
    expect(recognised).toMatch(range);
    expect(rangeOfLayout(layout)).toEqual((samples.space as { pictureRange?: unknown }).pictureRange);
    const { scale, shift } = samples.space as { scale: number | number[]; shift: number | number[] };
    const at = (value: number | number[], i: number) =>
      typeof value === 'number' ? value : value[Math.floor(i / 16)]!;
    for (const index of [0, 9, 11]) {
      expect(samples.sampleNames[index]).toMatch(new RegExp(`img-mean-std-0+${index}$`));
      expect(samples.labels[index]).toBe(index % 2);
      const key = randomKey(index);
      const noise = normal(fold(key, 'latent'), ROW);
      const std = stdOf(index);
      const expected = meanOf(kind, index).map(
        (mean, i) => (mean + std[i]! * noise[i]! - at(shift, i)) * at(scale, i),
      );
      const found = new Float32Array(ROW);
      await samples.read(index, key, found);
      expect(largestDifference(found, expected)).toBeLessThan(1e-5);
    }
  });

  test('lightningdit: samples of pictures and mirror images, which are not scaled', async () => {
    const out = await writePublicLayout('lightningdit', await writeShards('lightning'));
    const { samples, recognised } = await openLatents(out);
    expect(recognised).toMatch(
      /latents of LightningDiT; 12 pictures.*means and deviations of latents_stats.pt; mirrored pictures/,
    );
    const statistics = await openTensorFile(join(out, 'latents_stats.pt'));
    const values = NAMES.map((_, index) => drawn(index).slice(0, 16)).flatMap((row) => [...row]);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    for (const [name, expected] of [
      ['mean', mean],
      ['std', Math.sqrt(variance)],
    ] as const) {
      const { shape, data } = await statistics.read(name);
      expect(shape).toEqual([1, SHAPE[0], 1, 1]);
      expect(data[0]).toBeCloseTo(expected, 5);
    }
    await statistics.close();
    expect(Array.from(samples.labels)).toEqual(NAMES.map((_, index) => index % 2));
    const { tensors } = await readSafetensors(join(out, 'latents_rank00_shard001.safetensors'));
    for (const [name, mirrored] of [
      ['latents', false],
      ['latents_flip', true],
    ] as const) {
      const { data, shape } = tensors.get(name)!;
      expect(shape).toEqual([4, ...SHAPE]);
      const row = (data as Float32Array).subarray(2 * ROW, 3 * ROW);
      expect(largestDifference(row, drawn(10, mirrored))).toBeLessThan(1e-5);
    }
  });
});

test('a layout that is there stays if it is of these latents, and is refused if not', async () => {
  const folder = await writeShards('again');
  for (const layout of PUBLIC_LAYOUTS) {
    const out = await writePublicLayout(layout, folder);
    await writeFile(join(out, '.seen'), '');
    expect(await writePublicLayout(layout, folder)).toBe(out);
    expect(await readdir(out)).toContain('.seen');
  }
  await rm(folder, { recursive: true });
  await writeShards('again', 'unit');
  const message = (await writePublicLayout('repa', folder).catch((error: Error) => error.message)) as string;
  expect(message.replaceAll(root, 'ROOT')).toMatchInlineSnapshot(`
    "ConfigError: ROOT/again-repa: it exists already, from other latents
      fix: name another folder with --out, or remove this one"
  `);
});

test('what a killed process left of a layout is removed, and the layout written', async () => {
  const folder = await writeShards('killed');
  const left = join(root, `.killed-edm2.${await endedProcess()}-0.tmp`);
  await mkdir(left);
  await writeFile(join(left, 'dataset.json'), '{');
  await writePublicLayout('edm2', folder);
  expect((await readdir(root)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  expect(JSON.parse(await readFile(join(root, 'killed-edm2', 'dataset.json'), 'utf8')).labels).toHaveLength(
    12,
  );
});

test('a layout that is stopped leaves nothing', async () => {
  const folder = await writeShards('stopped');
  const stopping = new AbortController();
  const before = await readdir(root);
  const written = writePublicLayout('repa', folder, stopping.signal);
  stopping.abort();
  await expect(written).rejects.toThrow();
  expect(await readdir(root)).toEqual(before);
});
