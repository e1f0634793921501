import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeFileAtomically } from './atomic-write-node.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-atomic-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('writeFileAtomically', () => {
  it('joins the parts, replaces an older file and makes missing folders', async () => {
    const path = join(folder, 'a', 'b', 'file');
    await writeFileAtomically(path, [Buffer.from('old')]);
    await writeFileAtomically(path, [Buffer.from('new '), Buffer.from('content')]);
    expect(await readFile(path, 'utf8')).toBe('new content');
  });

  it('keeps the older file and removes its own remains when writing fails', async () => {
    const path = join(folder, 'file');
    await writeFile(path, 'old');
    const unwritable = 12 as unknown as Uint8Array;
    await expect(writeFileAtomically(path, [Buffer.from('new'), unwritable])).rejects.toThrow();
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['file']);
  });
});
