import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AppendFile } from './append-file-node.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-append-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

test('what is appended can be read at once, and stays when the file is opened again', async () => {
  const path = join(folder, 'log');
  const file = new AppendFile(path);
  file.append('one\n');
  expect(await readFile(path, 'utf8')).toBe('one\n');
  file.close();

  const again = new AppendFile(path);
  again.append(Uint8Array.of(0x32));
  again.close();
  expect(await readFile(path, 'utf8')).toBe('one\n2');
});

test('appending after close is a mistake of the caller', () => {
  const file = new AppendFile(join(folder, 'log'));
  file.close();
  file.close();
  expect(() => file.append('x')).toThrow('append after close');
});

describe('errors', () => {
  test('a file that cannot be opened', () => {
    const open = () => new AppendFile('/nowhere/log');
    expect(open).toThrowErrorMatchingInlineSnapshot(`
      [DataError: DataError: /nowhere/log: cannot be written (ENOENT)
        fix: make the file writable, then run the same command again]
    `);
  });

  // A device on which every write fails for want of space.
  test.skipIf(!existsSync('/dev/full'))('a full disk', () => {
    const file = new AppendFile('/dev/full');
    expect(() => file.append('x')).toThrowErrorMatchingInlineSnapshot(`
      [DataError: DataError: /dev/full: the disk is full
        fix: free some space, then run the same command again]
    `);
    file.close();
  });
});
