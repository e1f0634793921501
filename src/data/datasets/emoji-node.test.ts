import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { fold, randomKey } from '../../core/random.ts';
import { type EmojiSamples, openEmoji } from './emoji-node.ts';
import { loadBatch } from './samples.ts';

const SIZE = 16;
let folder: string;
let emoji: EmojiSamples;
let progress: [done: number, total: number][];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-emoji-'));
  progress = [];
  emoji = await openEmoji({
    imageSize: SIZE,
    cacheFolder: folder,
    onProgress: (...args) => progress.push(args),
  });
}, 120_000);
afterAll(() => rm(folder, { recursive: true }));

const indexOf = (title: string) => emoji.titles.indexOf(title);

async function read(
  title: string,
  augment: 'none' | 'flip' | 'emoji',
  seed: number | null,
): Promise<Float32Array> {
  const dataset = await openEmoji({ imageSize: SIZE, cacheFolder: folder, augment });
  const augmentation = seed === null ? null : { key: randomKey(seed), nimg: 0 };
  return (await loadBatch(dataset, [indexOf(title)], augmentation)).x.data;
}

function mirrorImage(values: Float32Array): Float32Array {
  return values.map((_, i) => values[i - (i % SIZE) + (SIZE - 1 - (i % SIZE))]!);
}

describe('openEmoji', () => {
  it('reports progress up to the last picture', () => {
    expect(progress.length).toBe(1870);
    expect(progress.at(-1)).toEqual([1870, 1870]);
  });

  it('draws on white, with the colours of the artwork', async () => {
    const face = await read('grinning face', 'emoji', null);
    const pixel = (row: number, column: number) =>
      [0, 1, 2].map((c) => Math.round(127.5 * face[(c * SIZE + row) * SIZE + column]! + 127.5));
    expect(pixel(0, 0)).toEqual([255, 255, 255]);
    expect(pixel(3, 8)).toEqual([0xff, 0xcc, 0x4d]); // the forehead, #FFCC4D in the SVG
  });

  it('agrees with the artwork drawn large and averaged', async () => {
    const svgPath = new URL('../../../node_modules/@twemoji/svg/1f600.svg', import.meta.url);
    const large = await sharp(await readFile(svgPath), { density: 72 * 8 * (SIZE / 36) })
      .flatten({ background: 'white' })
      .resize(SIZE, SIZE, { kernel: 'mitchell' })
      .raw()
      .toBuffer();
    const face = await read('grinning face', 'none', null);
    let difference = 0;
    for (let i = 0; i < SIZE * SIZE; i++) {
      for (let c = 0; c < 3; c++)
        difference += Math.abs(127.5 * face[c * SIZE * SIZE + i]! + 127.5 - large[3 * i + c]!);
    }
    expect(difference / large.length).toBeLessThan(6);
  });

  it('opens from the cache without drawing again', async () => {
    let drawn = 0;
    const again = await openEmoji({ imageSize: SIZE, cacheFolder: folder, onProgress: () => drawn++ });
    expect(drawn).toBe(0);
    const indices = [0, 500, 1869];
    expect((await loadBatch(again, indices, null)).x).toEqual((await loadBatch(emoji, indices, null)).x);
  });

  it.each([0, 32.5, 4096, '64x32'])('refuses the image size %s', async (imageSize) => {
    await expect(openEmoji({ imageSize, cacheFolder: folder })).rejects.toThrow(ConfigError);
  });

  it('names the fix for a wrong image size', async () => {
    await expect(
      openEmoji({ imageSize: 7, cacheFolder: folder }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: emoji: the image size is 7
        fix: use a whole number from 8 to 512, such as 32, 64 or 256]
    `);
  });
});

describe('augmentation', () => {
  const seeds = Array.from({ length: 30 }, (_, i) => i);

  it('"none" reads every picture as evaluation does', async () => {
    expect(await read('sailboat', 'none', 1)).toEqual(await read('sailboat', 'none', null));
  });

  it('"flip" shows the picture or its mirror image', async () => {
    const plain = await read('flag Italy', 'flip', null);
    const seen = await Promise.all(seeds.map((seed) => read('flag Italy', 'flip', seed)));
    const kinds = seen.map((values) => String(values) === String(plain));
    expect(new Set(kinds)).toEqual(new Set([true, false]));
    for (const values of seen) expect([String(plain), String(mirrorImage(plain))]).toContain(String(values));
  });

  it('"emoji" never mirrors a flag', async () => {
    const flag = indexOf('flag Italy');
    const values = new Float32Array(3 * SIZE * SIZE);
    for (const seed of seeds) {
      emoji.read(flag, fold(randomKey(9), seed), values);
      const row = SIZE / 2;
      const redness = (column: number) =>
        values[row * SIZE + column]! - values[(SIZE + row) * SIZE + column]!;
      expect(redness(SIZE - 4)).toBeGreaterThan(0.5); // Italy's red stripe is on the right
      expect(redness(3)).toBeLessThan(-0.2); // and the green one on the left
    }
  });

  it('"emoji" gives the same picture for the same key', () => {
    const [a, b] = [new Float32Array(3 * SIZE * SIZE), new Float32Array(3 * SIZE * SIZE)];
    emoji.read(3, randomKey(4), a);
    emoji.read(3, randomKey(4), b);
    expect(a).toEqual(b);
  });
});

describe('rendered emoji', () => {
  it('are laid on white, and shrunk from 256 pixels at most', async () => {
    const rendered = await openEmoji({
      artwork: 'fluent-3d',
      imageSize: SIZE,
      cacheFolder: folder,
      augment: 'none',
    });
    expect(rendered).toMatchObject({ name: 'emoji-3d', length: 1852, shape: [3, SIZE, SIZE] });
    const { x } = await loadBatch(rendered, [rendered.titles.indexOf('red circle')], null);
    const pixel = (row: number, column: number) =>
      [0, 1, 2].map((c) => 127.5 * x.data[(c * SIZE + row) * SIZE + column]! + 127.5);
    expect(pixel(0, 0)).toEqual([255, 255, 255]);
    const [red, green, blue] = pixel(SIZE / 2, SIZE / 2) as [number, number, number];
    expect(red).toBeGreaterThan(200);
    expect(Math.max(green, blue)).toBeLessThan(120);
    await expect(openEmoji({ artwork: 'fluent-3d', imageSize: 257, cacheFolder: folder })).rejects.toThrow(
      'the image size is 257',
    );
  });
});
