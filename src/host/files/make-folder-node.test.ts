import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { makeFolder } from './make-folder-node.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-folder-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('makes a folder with those it lies in, or leaves it as it is', async () => {
  const path = join(folder, 'a', 'b');
  for (let i = 0; i < 2; i++) await makeFolder(path, { fix: 'none' });
  expect((await stat(path)).isDirectory()).toBe(true);
});

test('a file in its way', async () => {
  await writeFile(join(folder, 'file'), '');
  const failure = { Failure: ConfigError, fix: 'choose another folder' };
  for (const path of [join(folder, 'file'), join(folder, 'file', 'inside')]) {
    const error: unknown = await makeFolder(path, failure).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).message.replace(path, 'PATH')).toMatchInlineSnapshot(`
      "ConfigError: PATH: there is a file where a folder is needed
        fix: choose another folder"
    `);
  }
});

test('any other failure is named by its code', async () => {
  const name = 'x'.repeat(300);
  const making = makeFolder(join(folder, name), { fix: 'choose a shorter name' });
  const error: unknown = await making.catch((reason: unknown) => reason);
  expect((error as Error).message.replace(join(folder, name), 'PATH')).toMatchInlineSnapshot(`
    "DataError: PATH: the folder cannot be made (ENAMETOOLONG)
      fix: choose a shorter name"
  `);
});

// Node's own recursion never returns there, and blocks a thread that no signal ends.
test.runIf(existsSync('/proc/self'))('a file system that takes no new folders', async () => {
  const making = makeFolder('/proc/none/below', { fix: 'choose another folder' });
  const error: unknown = await making.catch((reason: unknown) => reason);
  expect((error as Error).message).toMatchInlineSnapshot(`
    "DataError: /proc/none/below: the folder cannot be made: its file system takes no new folders (ENOENT)
      fix: choose another folder"
  `);
});

test('several at once that make the same folders', async () => {
  const path = join(folder, 'a', 'b', 'c');
  await Promise.all(Array.from({ length: 20 }, () => makeFolder(path, { fix: 'none' })));
  expect((await stat(path)).isDirectory()).toBe(true);
});
