import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cacheKey, readPixelCache, writePixelCache } from './pixel-cache-node.ts';

let folder: string;
let path: string;
const content = { manifest: { names: ['å', 'b'] }, pixels: Uint8Array.from({ length: 500 }, (_, i) => i) };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-cache-'));
  path = join(folder, 'nested', 'some.pixels');
  await writePixelCache(path, content);
});
afterEach(() => rm(folder, { recursive: true }));

describe('a pixel cache', () => {
  it('returns what was written, and leaves no temporary file', async () => {
    const cached = await readPixelCache(path);
    expect(cached?.manifest).toEqual(content.manifest);
    expect(new Uint8Array(cached!.pixels)).toEqual(content.pixels);
    expect(await readdir(join(folder, 'nested'))).toEqual(['some.pixels']);
  });

  it('is not used when it was cut off anywhere', async () => {
    const { length } = await readFile(path);
    for (const kept of [length - 1, 100, 36, 35, 0]) {
      await truncate(path, kept);
      expect(await readPixelCache(path)).toBeNull();
    }
  });

  it('is not used when a byte was altered, in the manifest or in the pixels', async () => {
    const bytes = await readFile(path);
    for (const position of [0, 34, 40, bytes.length - 1]) {
      const altered = Buffer.from(bytes);
      altered[position]! ^= 1;
      await writeFile(path, altered);
      expect(await readPixelCache(path)).toBeNull();
    }
  });

  it('is not used when it is missing', async () => {
    expect(await readPixelCache(join(folder, 'other.pixels'))).toBeNull();
  });
});

it('cacheKey changes with its identity', () => {
  expect(cacheKey({ size: 32, files: ['a'] })).toBe(cacheKey({ size: 32, files: ['a'] }));
  expect(cacheKey({ size: 32, files: ['a'] })).not.toBe(cacheKey({ size: 64, files: ['a'] }));
});
