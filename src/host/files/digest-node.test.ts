import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { crc32OfFile } from './digest-node.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-digest-'));
});
afterEach(() => rm(folder, { recursive: true }));

// Blocks of 4 MiB: none, a part, exactly one, and parts beyond two.
test.each([0, 9, 4 * 2 ** 20, 9 * 2 ** 20 + 5])(
  'the CRC-32 of %i bytes is that of all at once',
  async (size) => {
    const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 7919) >> 5);
    const path = join(folder, 'file');
    await writeFile(path, bytes);
    expect(await crc32OfFile(path)).toEqual({ byteLength: size, crc32: crc32(bytes) });
  },
);
