import { mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ENTRY_FILE, type EntryFolder, UnkeptError } from './cache.ts';
import { DiskCache } from './disk-cache-node.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-compiled-'));
});
afterEach(() => rm(folder, { recursive: true }));

const cacheOf = (maxBytes = 1e6) => new DiskCache({ folder, maxBytes });

/** An entry whose model is `text`, with data of `byteLength` zeros that end in a one. */
const builder =
  (text: string, byteLength = 100) =>
  async (entry: EntryFolder) => {
    const data = await entry.create('data', byteLength);
    await data.write(Uint8Array.of(1), byteLength - 1);
    await data.close();
    await entry.create('scratch', 5).then((file) => file.close());
    await entry.remove('scratch');
    await writeFile(entry.path(ENTRY_FILE), text);
  };

test('an entry is found again, by its key alone', async () => {
  const kept = await cacheOf().keep('one', builder('model'));
  expect(kept.isOptimised).toBe(true);
  expect(await cacheOf().find('one')).toEqual(kept);
  expect(await cacheOf().find('two')).toBeUndefined();
  expect(await readFile(kept.path, 'utf8')).toBe('model');
  const data = await readFile(join(dirname(kept.path), 'data'));
  expect([data.length, data[98], data[99]]).toEqual([100, 0, 1]);
  expect((await readdir(dirname(kept.path))).sort()).toEqual(['data', ENTRY_FILE, 'seal.json'].sort());
});

test('a removed entry is gone', async () => {
  const cache = cacheOf();
  await cache.keep('one', builder('model'));
  await cache.remove('one');
  expect(await cache.find('one')).toBeUndefined();
});

test.each<[string, (entry: string) => Promise<void>]>([
  ['a cut-off file', (entry) => truncate(join(entry, 'data'), 50)],
  // What a power cut may leave of a file: its size, and zeros.
  ['a file with another byte', (entry) => writeFile(join(entry, 'data'), Buffer.alloc(100))],
  ['a missing file', (entry) => rm(join(entry, 'data'))],
  ['a seal of other content', (entry) => writeFile(join(entry, 'seal.json'), '{"data": 100}')],
])('%s makes the entry none, and it is built again in its place', async (_, damage) => {
  const onDamaged = vi.fn();
  const cache = new DiskCache({ folder, maxBytes: 1e6, onDamaged });
  const { path } = await cache.keep('one', builder('model'));
  await damage(dirname(path));
  expect(await cache.find('one')).toBeUndefined();
  expect(onDamaged).toHaveBeenCalledOnce();
  await cache.keep('one', builder('model'));
  expect(await cache.find('one')).toEqual({ path, isOptimised: true });
  expect(onDamaged).toHaveBeenCalledOnce();
});

test('an entry of an earlier version is no entry, and goes when another comes', async () => {
  const { path } = await cacheOf().keep('one', builder('model'));
  await rename(join(dirname(path), 'seal.json'), join(dirname(path), 'sizes.json'));
  expect(await cacheOf().find('one')).toBeUndefined();
  await cacheOf().keep('two', builder('model'));
  expect(await readdir(folder)).toHaveLength(1);
});

test('a build that fails leaves nothing', async () => {
  const failing = cacheOf().keep('one', async (entry) => {
    await builder('model')(entry);
    throw new Error('power cut');
  });
  await expect(failing).rejects.toThrow('power cut');
  expect(await readdir(folder)).toEqual([]);
});

test('programs that build the same entry at once all get a whole one', async () => {
  const models = await Promise.all([1, 2, 3].map((i) => cacheOf().keep('one', builder(`model ${i}`))));
  const [first] = models;
  for (const model of models) expect(model).toEqual(first);
  expect(await readFile(first!.path, 'utf8')).toMatch(/^model [123]$/);
  expect((await readdir(folder)).length).toBe(1);
});

test('beyond the limit, entries not used for longest go; the newest stays whatever its size', async () => {
  const cache = cacheOf(350);
  const names = ['one', 'two', 'three'];
  for (const [i, name] of names.entries()) {
    const { path } = await cache.keep(name, builder(name));
    await utimes(join(dirname(path), 'seal.json'), 1000 + i, 1000 + i);
  }
  await cache.find('one'); // used now
  await cache.keep('four', builder('four'));
  const found = async () => {
    const models = await Promise.all([...names, 'four', 'large'].map((name) => cache.find(name)));
    return models.map((model) => model !== undefined);
  };
  expect(await found()).toEqual([true, false, true, true, false]);
  await cache.keep('large', builder('large', 10_000));
  expect(await found()).toEqual([false, false, false, false, true]);
});

test('one entry that is too large does not take older ones with it', async () => {
  const cache = cacheOf(400);
  const paths: string[] = [];
  for (const [i, [name, length]] of Object.entries({ small: 100, large: 250 }).entries()) {
    const { path } = await cache.keep(name, builder(name, length));
    paths.push(path);
    await utimes(join(dirname(path), 'seal.json'), 1000 + i, 1000 + i);
  }
  await cache.keep('new', builder('new', 200));
  expect(await cache.find('large')).toBeUndefined();
  expect(await cache.find('small')).toEqual({ path: paths[0], isOptimised: true });
});

test.each([
  ['a full disk', Object.assign(new Error('write'), { code: 'ENOSPC' })],
  ['a disk that may not be written', Object.assign(new Error('open'), { code: 'EROFS' })],
  ['a full disk, in the words of a library', new Error('write failed: No space left on device')],
])('%s means that nothing is kept; other errors are thrown as they are', async (_, cause) => {
  const failing = (error: Error) => cacheOf().keep('one', () => Promise.reject(error));
  await expect(failing(cause)).rejects.toThrowError(UnkeptError);
  await expect(failing(cause)).rejects.toMatchObject({ cause });
  const other = new TypeError('x is undefined');
  await expect(failing(other)).rejects.toBe(other);
  expect(await readdir(folder)).toEqual([]);
});

test('what a program left half-built is removed when it is old, and what another one builds is not', async () => {
  const [old, young] = ['.building-old', '.building-young'].map((name) => join(folder, name));
  for (const path of [old!, young!]) await mkdir(path);
  await utimes(old!, 1000, 1000);
  await cacheOf().keep('one', builder('model'));
  const names = await readdir(folder);
  expect(names).toContain('.building-young');
  expect(names).not.toContain('.building-old');
});
