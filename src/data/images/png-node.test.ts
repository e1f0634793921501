import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tensorOf } from '../../core/host-tensor.ts';
import { decodeRgb } from './image-decode-node.ts';
import { encodePng, writePng, writeSheet } from './png-node.ts';
import { drawSheet } from './sheet.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-png-'));
});
afterEach(() => rm(folder, { recursive: true }));

const bytes = Uint8Array.from({ length: 5 * 4 * 3 }, (_, i) => i * 4);

describe('PNG files', () => {
  it('hold the pixels exactly', async () => {
    const path = join(folder, 'picture.png');
    await writePng(path, { width: 5, height: 4, channels: 3, data: bytes });
    const { width, height, data } = (await decodeRgb(path, null)).image;
    expect([width, height]).toEqual([5, 4]);
    expect(new Uint8Array(data)).toEqual(bytes);
    expect(await readdir(folder)).toEqual(['picture.png']);
  });

  it('keep grey pictures grey', async () => {
    const png = await encodePng({ width: 10, height: 6, channels: 1, data: bytes });
    expect((await sharp(png).metadata()).channels).toBe(1);
    expect(new Uint8Array(await sharp(png).toColourspace('b-w').raw().toBuffer())).toEqual(bytes);
  });

  it('hold a contact sheet', async () => {
    const path = join(folder, 'grid.png');
    const images = tensorOf(
      'u8',
      [2, 2, 2, 3],
      Array.from({ length: 24 }, (_, i) => i * 10),
    );
    const options = { columns: 2, rowLabels: ['both'] };
    await writeSheet(path, images, options);
    const sheet = drawSheet(images, options);
    const written = (await decodeRgb(path, null)).image;
    expect([written.width, written.height]).toEqual([sheet.width, sheet.height]);
    expect(new Uint8Array(written.data)).toEqual(sheet.data);
  });
});
