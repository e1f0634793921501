import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { OpenFiles } from './open-files-node.ts';

test('more files than stay open are read at once, and again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'open-files-'));
  const paths = Array.from({ length: 300 }, (_, i) => join(folder, String(i)));
  await Promise.all(paths.map((path, i) => writeFile(path, Uint8Array.of(i % 256, 7, 8))));
  const files = new OpenFiles();
  try {
    for (const _ of ['once', 'again']) {
      const first = await Promise.all(paths.map((path) => files.read(path, 0, 2)));
      expect(first.map(([value]) => value)).toEqual(paths.map((_path, i) => i % 256));
    }
    expect(await files.read(paths[0]!, 2, 9)).toEqual(Uint8Array.of(8));
    await expect(files.read(join(folder, 'nothing'), 0, 1)).rejects.toThrow('ENOENT');
    await files.close();
    expect(await files.read(paths[5]!, 0, 1)).toEqual(Uint8Array.of(5));
  } finally {
    await files.close();
    await rm(folder, { recursive: true });
  }
});
