import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pngFile } from '../../../test/support/png-writer.ts';
import type { Rgb } from './background.ts';
import { decodeRgb } from './image-decode-node.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-decode-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function decodeOn(background: Rgb | null, bytes: Uint8Array | string) {
  const path = join(folder, 'image.png');
  await writeFile(path, bytes);
  const { image, transparent } = await decodeRgb(path, background);
  const { width, height, channels, data } = image;
  expect([channels, data.length]).toEqual([3, width * height * 3]);
  return { pixels: [...data], transparent };
}

const decode = async (bytes: Uint8Array | string) => (await decodeOn(null, bytes)).pixels;

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

  it('spreads grey over three channels, with and without alpha', async () => {
    const spread = [10, 10, 10, 250, 250, 250];
    expect(await decode(await raw(1, 10, 250).toColourspace('b-w').png().toBuffer())).toEqual(spread);
    expect(await decode(await raw(2, 10, 0, 250, 255).toColourspace('b-w').png().toBuffer())).toEqual(spread);
  });

  it('drops alpha and keeps the colour under it', async () => {
    expect(await decode(await raw(4, 200, 10, 20, 100).png().toBuffer())).toEqual([200, 10, 20]);
  });

  describe('lays a picture with transparency on a colour', () => {
    const white: Rgb = [255, 255, 255];
    const black: Rgb = [0, 0, 0];
    const rgba = [200, 10, 20, 100];
    const withMore = () =>
      raw(4, 1, 2, 3, 128)
        .joinChannel(Buffer.of(9), { raw: { width: 1, height: 1, channels: 1 } })
        .tiff({ compression: 'none' });

    /** Expected: (alpha · colour + (255 - alpha) · background) / 255, rounded. */
    const onWhite = [233, 159, 163]; // 59525, 40525 and 41525, divided by 255
    const onBlack = [78, 4, 8]; // 20000, 1000 and 2000
    const greyOnWhite = [177, 177, 177, 50, 50, 50]; // 45185
    const greyOnBlack = [50, 50, 50, 50, 50, 50]; // 12800
    const kinds: readonly (readonly [
      kind: string,
      file: () => Buffer | Promise<Buffer>,
      dropped: readonly number[],
      onWhite: readonly number[],
      onBlack: readonly number[],
    ])[] = [
      [
        'RGB and alpha',
        () =>
          raw(4, ...rgba)
            .png()
            .toBuffer(),
        [200, 10, 20],
        onWhite,
        onBlack,
      ],
      [
        'RGB and alpha of 16 bits, of which the upper 8 count',
        () => pngFile({ colour: 'rgba', bits: 16, width: 1, bytes: [200, 1, 10, 255, 20, 3, 100, 254] }),
        [200, 10, 20],
        onWhite,
        onBlack,
      ],
      [
        'grey and alpha',
        () => pngFile({ colour: 'greyAlpha', bits: 8, width: 2, bytes: [100, 128, 50, 255] }),
        [100, 100, 100, 50, 50, 50],
        greyOnWhite,
        greyOnBlack,
      ],
      [
        'grey and alpha of 16 bits',
        () => pngFile({ colour: 'greyAlpha', bits: 16, width: 2, bytes: [100, 9, 128, 7, 50, 0, 255, 0] }),
        [100, 100, 100, 50, 50, 50],
        greyOnWhite,
        greyOnBlack,
      ],
      [
        'a palette, whose last entry has no alpha',
        () => {
          const palette = [1, 2, 3, 10, 20, 30, 40, 50, 60];
          const transparency = [0, 128];
          return pngFile({ colour: 'palette', bits: 8, width: 3, bytes: [0, 1, 2], palette, transparency });
        },
        [1, 2, 3, 10, 20, 30, 40, 50, 60],
        [255, 255, 255, 132, 137, 142, 40, 50, 60], // 33665, 34945 and 36225
        [0, 0, 0, 5, 10, 15, 40, 50, 60],
      ],
      [
        'one transparent colour',
        () => {
          const transparency = [0, 1, 0, 2, 0, 3];
          return pngFile({ colour: 'rgb', bits: 8, width: 2, bytes: [1, 2, 3, 4, 5, 6], transparency });
        },
        [1, 2, 3, 4, 5, 6],
        [255, 255, 255, 4, 5, 6],
        [0, 0, 0, 4, 5, 6],
      ],
      [
        'one transparent grey',
        () => pngFile({ colour: 'grey', bits: 8, width: 2, bytes: [7, 9], transparency: [0, 7] }),
        [7, 7, 7, 9, 9, 9],
        [255, 255, 255, 9, 9, 9],
        [0, 0, 0, 9, 9, 9],
      ],
      [
        'black and transparency',
        () => pngFile({ colour: 'grey', bits: 1, width: 2, bytes: [0b1000_0000], transparency: [0, 1] }),
        [255, 255, 255, 0, 0, 0],
        [255, 255, 255, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
      ],
      [
        'WebP',
        () =>
          raw(4, ...rgba)
            .webp({ lossless: true, exact: true })
            .toBuffer(),
        [200, 10, 20],
        onWhite,
        onBlack,
      ],
      [
        'TIFF',
        () =>
          raw(4, ...rgba)
            .tiff({ compression: 'none' })
            .toBuffer(),
        [200, 10, 20],
        onWhite,
        onBlack,
      ],
      // 32513, 32641 and 32769
      ['more channels than alpha', () => withMore().toBuffer(), [1, 2, 3], [128, 128, 129], [1, 1, 2]],
    ];

    it.each(kinds)('%s', async (_, file, dropped, expectedOnWhite, expectedOnBlack) => {
      const bytes = await file();
      expect(await decodeOn(white, bytes)).toEqual({ pixels: expectedOnWhite, transparent: true });
      expect(await decodeOn(black, bytes)).toEqual({ pixels: expectedOnBlack, transparent: true });
      expect(await decodeOn(null, bytes)).toEqual({ pixels: dropped, transparent: true });
    });

    it('of three channels', async () => {
      const bytes = await raw(4, ...rgba)
        .png()
        .toBuffer();
      // 59525, 1000 + 155 · 136 and 2000
      expect((await decodeOn([255, 136, 0], bytes)).pixels).toEqual([233, 87, 8]);
    });

    it('unless all of it is opaque', async () => {
      const bytes = await raw(4, 200, 10, 20, 255).png().toBuffer();
      expect(await decodeOn(white, bytes)).toEqual({ pixels: [200, 10, 20], transparent: false });
    });
  });

  it('refuses more pixels than fit, and formats that no folder of pictures means', async () => {
    const wide = pngFile({ colour: 'grey', bits: 8, width: 1, bytes: [0] });
    // The sides stand at the beginning; their checksum is right again.
    wide.writeUInt32BE(20_000, 16);
    wide.writeUInt32BE(20_000, 20);
    wide.writeUInt32BE(crc32(wide.subarray(12, 29)), 29);
    await expect(decode(wide)).rejects.toThrow(new Error('too large: 400 megapixels, at most 268'));
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>';
    await expect(decode(svg)).rejects.toThrow(new Error('not an image, or of a format that cannot be read'));
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
    await expect(decodeRgb(join(folder, 'missing.png'), null)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[Error: the file cannot be opened (ENOENT)]`,
    );
    const jpeg = await noise.clone().jpeg().toBuffer();
    await expect(decode(jpeg.subarray(0, jpeg.length - 30))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[Error: cut off or damaged (VipsJpeg: premature end of JPEG image)]`,
    );
  });
});
