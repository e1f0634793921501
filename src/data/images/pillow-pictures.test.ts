/** @file Pictures of all formats have the pixels that Pillow reads, as recorded in `test/fixtures/pictures`. */
import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readBmp } from './bmp.ts';
import { decodeRgb } from './image-decode-node.ts';
import { IMAGE_ENDINGS } from './image-formats.ts';
import { readNetpbm } from './netpbm.ts';
import type { Orientation } from './orientation.ts';
import { UnreadableImage } from './unreadable-image.ts';

interface Pixels {
  readonly width: number;
  readonly height: number;
  /** As hexadecimal digits. */
  readonly rgb: string;
}

const fixture = (name: string) =>
  fileURLToPath(new URL(`../../../test/fixtures/pictures/${name}`, import.meta.url));
const expected: Readonly<Record<string, Pixels & { readonly turned?: Pixels }>> = JSON.parse(
  readFileSync(fixture('expected.json'), 'utf8'),
);
const names = Object.keys(expected);

/** Levels by which another decoder of AV1 may differ. */
const TOLERANCE: Readonly<Record<string, number>> = { '.avif': 1 };

async function expectPixels(name: string, orientation: Orientation, { width, height, rgb }: Pixels) {
  const { image } = await decodeRgb(fixture(name), null, orientation);
  expect([image.width, image.height, image.channels]).toEqual([width, height, 3]);
  const pixels = Buffer.from(rgb, 'hex');
  const differences = image.data.map((level, i) => Math.abs(level - pixels[i]!));
  expect(Math.max(...differences)).toBeLessThanOrEqual(TOLERANCE[extname(name)] ?? 0);
}

it.each(names)('%s, as it is stored', (name) => expectPixels(name, 'ignore', expected[name]!));

it.each(names.filter((name) => expected[name]!.turned !== undefined))('%s, turned by EXIF', (name) =>
  expectPixels(name, 'follow', expected[name]!.turned!),
);

it('every ending of a format has a picture here, under one of its names', () => {
  const endings = new Set(names.map((name) => extname(name)));
  expect(IMAGE_ENDINGS.filter((ending) => !endings.has(ending))).toEqual(['.jpeg', '.jfif', '.tiff']);
});

it.each([
  ['turned-1.jpg', { turned: false, clipped: false }],
  ['turned-6.jpg', { turned: true, clipped: false }],
  ['turned-cmyk.jpg', { turned: true, clipped: false }],
  ['grey-16.png', { turned: false, clipped: true }],
  ['grey-16.pgm', { turned: false, clipped: true }],
  ['grey-alpha-16.png', { turned: false, clipped: false }],
] as const)('%s tells how it differs from what it shows', async (name, treatment) => {
  for (const orientation of ['follow', 'ignore'] as const) {
    expect(await decodeRgb(fixture(name), null, orientation)).toMatchObject(treatment);
  }
});

it.each([
  [
    'float.tif',
    'its pixels are of 32-bit floating point, and nothing says which is black and which is white',
  ],
  ['integers.tif', 'its pixels are of 32-bit integers, and nothing says which is black and which is white'],
])('%s is refused, because all of it would be black or white', async (name, reason) => {
  await expect(decodeRgb(fixture(name))).rejects.toThrow(new Error(reason));
});

describe('damaged BMP, PBM, PGM and PPM', () => {
  const read = (bytes: Uint8Array) => (bytes[0] === 0x42 ? readBmp(bytes) : readNetpbm(bytes).image);

  it('are read or refused at every byte at which they are cut off', async () => {
    for (const name of (await readdir(fixture('.'))).filter((file) => /\.(bmp|p[bgp]m)$/.test(file))) {
      const bytes = await readFile(fixture(name));
      for (let length = 3; length < bytes.length; length++) {
        try {
          const { width, height, channels, data } = read(bytes.subarray(0, length));
          expect(data.length).toBe(width * height * channels);
        } catch (error) {
          if (!(error instanceof UnreadableImage)) throw error;
        }
      }
    }
  });

  it.each([
    ['P6\n20000 20000\n255\n', 'too large: 400 megapixels, at most 268'],
    ['P6\n0 5\n255\n', 'its size is 0 x 5'],
    ['P6\n2 x\n255\n', 'cut off or damaged (no number for its height)'],
    ['P5\n2 2\n70000\n', 'its largest level is 70000, not 1 to 65535'],
    ['P5\n2 2\n255\nabc', 'cut off or damaged (3 of 4 bytes of pixels)'],
    ['P2\n9000 9000\n255\n1 2', 'cut off or damaged (4 of 81000000 bytes of pixels)'],
    ['P1\n3 1\n1 2 0', 'cut off or damaged (no bit for a pixel)'],
  ])('%j', (text, reason) => {
    expect(() => readNetpbm(new TextEncoder().encode(text))).toThrow(new UnreadableImage(reason));
  });

  it('of a header that promises more than there is: no memory is taken for it', async () => {
    const bmp = await readFile(fixture('runs-8.bmp'));
    bmp.writeInt32LE(16_000, 18);
    bmp.writeInt32LE(16_000, 22);
    expect(() => readBmp(bmp)).toThrow(new UnreadableImage('cut off or damaged (its runs have no end)'));
    bmp.writeInt32LE(20_000, 18);
    bmp.writeInt32LE(20_000, 22);
    expect(() => readBmp(bmp)).toThrow(new UnreadableImage('too large: 400 megapixels, at most 268'));
  });

  it('of bits that no BMP has', async () => {
    const bmp = await readFile(fixture('rgb.bmp'));
    bmp.writeUInt16LE(12, 28);
    expect(() => readBmp(bmp)).toThrow(
      new UnreadableImage('a BMP of 12 bits a pixel with compression 0 cannot be read'),
    );
  });
});
