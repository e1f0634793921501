import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeRgb } from './image-decode-node.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-decode-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function decode(bytes: Uint8Array | string): Promise<number[]> {
  const path = join(folder, 'image.png');
  await writeFile(path, bytes);
  const { width, height, channels, data } = await decodeRgb(path);
  expect([channels, data.length]).toEqual([3, width * height * 3]);
  return [...data];
}

const raw = (channels: 1 | 2 | 3 | 4, ...bytes: number[]) =>
  sharp(Uint8Array.from(bytes), { raw: { width: bytes.length / channels, height: 1, channels } });
const noise = sharp({
  create: {
    width: 40,
    height: 30,
    channels: 3,
    background: 'grey',
    noise: { type: 'gaussian', mean: 128, sigma: 50 },
  },
});

describe('decodeRgb', () => {
  it('reads RGB exactly', async () => {
    expect(await decode(await raw(3, 1, 2, 3, 4, 5, 6).png().toBuffer())).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('spreads grey over three channels, with and without alpha, at 8 and 16 bits', async () => {
    const spread = [10, 10, 10, 250, 250, 250];
    expect(await decode(await raw(1, 10, 250).toColourspace('b-w').png().toBuffer())).toEqual(spread);
    expect(await decode(await raw(2, 10, 0, 250, 255).toColourspace('b-w').png().toBuffer())).toEqual(spread);
    expect(await decode(await raw(1, 10, 250).toColourspace('grey16').png().toBuffer())).toEqual(spread);
  });

  it('drops alpha and keeps the colour under it', async () => {
    expect(await decode(await raw(4, 200, 10, 20, 100).png().toBuffer())).toEqual([200, 10, 20]);
  });

  it('ignores the EXIF orientation', async () => {
    const turned = raw(3, 255, 255, 255, 0, 0, 0).withMetadata({ orientation: 6 });
    expect(await decode(await turned.png().toBuffer())).toEqual([255, 255, 255, 0, 0, 0]);
  });

  it('ignores an embedded colour profile', async () => {
    const wideGamut = await raw(3, 200, 10, 10).withIccProfile('p3').png().toBuffer();
    const stored = await sharp(wideGamut, { ignoreIcc: true }).raw().toBuffer();
    expect(stored[0]).not.toBe(200);
    expect(await decode(wideGamut)).toEqual([...stored]);
  });

  it.each(['jpeg', 'png', 'webp', 'tiff'] as const)('refuses a truncated %s', async (format) => {
    const bytes = await noise.clone().toFormat(format).toBuffer();
    await expect(decode(bytes.subarray(0, bytes.length / 2))).rejects.toThrow(
      /^(cut off or damaged \(.+\)|not an image.*)$/,
    );
  });

  it('says why a file cannot be read', async () => {
    await expect(decode('only text')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[Error: not an image, or of a format that cannot be read]`,
    );
    await expect(decode('')).rejects.toThrowErrorMatchingInlineSnapshot(`[Error: the file is empty]`);
    await expect(decodeRgb(join(folder, 'missing.png'))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[Error: the file cannot be opened (ENOENT)]`,
    );
    const jpeg = await noise.clone().jpeg().toBuffer();
    await expect(decode(jpeg.subarray(0, jpeg.length - 30))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[Error: cut off or damaged (VipsJpeg: premature end of JPEG image)]`,
    );
  });
});
