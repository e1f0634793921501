import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hostTensor, tensorOf } from '../../../core/host-tensor.ts';
import { parseNpz } from '../../../formats/npz.ts';
import type { PictureBatch } from '../pipeline.ts';
import { ArchiveFile } from './archive-file-node.ts';
import type { ArchiveOptions } from './archive-form-node.ts';

const LABELS = [2, 0, 1, 1, 0, 2, 2];
const OPTIONS: ArchiveOptions = { dtype: 'u8', pictureShape: [2, 1, 3], labels: LABELS, facts: { seed: 4 } };
const BATCH = 2;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit archive '));
});
afterAll(() => rm(root, { recursive: true }));

/** Values that tell pictures apart. */
function batchAt(first: number): PictureBatch {
  const labels = LABELS.slice(first, first + BATCH);
  const values = labels.flatMap((_, i) => [0, 1, 2, 3, 4, 5].map((k) => 10 * (first + i) + k));
  return { first, labels, pictures: tensorOf('u8', [labels.length, 2, 1, 3], values) };
}

const FIRSTS = [0, 2, 4, 6];

/** @returns the batches that were put */
async function write(archive: ArchiveFile, end = LABELS.length): Promise<number[]> {
  const firsts = FIRSTS.filter((first) => first >= archive.found && first < end);
  for (const first of firsts) await archive.put(batchAt(first));
  return firsts;
}

async function undisturbed(): Promise<Buffer> {
  const archive = await ArchiveFile.open(join(root, 'undisturbed.npz'), OPTIONS);
  await write(archive);
  await archive.close();
  return readFile(archive.path);
}

test('holds pictures and labels, and nothing is left beside it', async () => {
  const arrays = parseNpz(await undisturbed(), 'x');
  expect(arrays.get('arr_0')!.shape).toEqual([7, 2, 1, 3]);
  expect(Array.from(arrays.get('arr_0')!.data as Uint8Array)).toEqual(
    FIRSTS.flatMap((first) => Array.from(batchAt(first).pictures.data)),
  );
  expect(arrays.get('labels')).toEqual(tensorOf('i64', [7], LABELS));
  expect((await readdir(root)).filter((name) => /part|journal/.test(name))).toEqual([]);
});

test('latents too', async () => {
  const path = join(root, 'latents.npz');
  const archive = await ArchiveFile.open(path, {
    dtype: 'f32',
    pictureShape: [4, 1, 1],
    labels: [3, 1],
    facts: {},
  });
  const latents = hostTensor('f32', [2, 4, 1, 1], Float32Array.from([1.5, -2, 0, 4, 5, 6, 7, 8]));
  await archive.put({ first: 0, labels: [3, 1], pictures: latents });
  await archive.close();
  expect(parseNpz(await readFile(path), 'x').get('arr_0')).toEqual(latents);
});

test('no picture is kept in memory once it is put', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const side = 256;
  const batchBytes = 4 * side * side * 3;
  const labels = new Array<number>(160).fill(0);
  const path = join(root, 'many.npz');
  const archive = await ArchiveFile.open(path, {
    dtype: 'u8',
    pictureShape: [side, side, 3],
    labels,
    facts: {},
  });
  const empty = (await stat(`${path}.part`)).size;
  collect();
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for (let first = 0; first < labels.length; first += 4) {
    const pictures = hostTensor('u8', [4, side, side, 3], new Uint8Array(batchBytes).fill(first));
    await archive.put({ first, labels: labels.slice(first, first + 4), pictures });
    expect((await stat(`${path}.part`)).size).toBe(empty + (first / 4 + 1) * batchBytes);
    collect();
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  await archive.close();
  // Forty batches went through.
  expect(most).toBeLessThan(3 * batchBytes);
});

describe('after a kill', () => {
  /** What is left when a process is killed after `end` pictures. */
  async function killed(name: string, end: number): Promise<string> {
    const path = join(root, name);
    const archive = await ArchiveFile.open(path, OPTIONS);
    await write(archive, end);
    await archive.abandon();
    return path;
  }

  test('nothing is written twice, and the bytes are those of an undisturbed run', async () => {
    const path = await killed('killed.npz', 4);
    await appendFile(`${path}.part`, 'half a pic'); // the next batch, on its way
    await appendFile(`${path}.journal`, '6 12'); // a line, on its way
    const archive = await ArchiveFile.open(path, OPTIONS);
    expect(archive.found).toBe(4);
    expect([3, 4].map((position) => archive.has(position))).toEqual([true, false]);
    for (const first of [0, 2]) expect(await archive.read(first, BATCH)).toEqual(batchAt(first).pictures);
    expect(await write(archive)).toEqual([4, 6]);
    await archive.close();
    expect(await readFile(path)).toEqual(await undisturbed());
  });

  test('what the disk has lost is written again', async () => {
    const path = await killed('lost.npz', 6);
    const part = await readFile(`${path}.part`);
    part[part.length - 16]! ^= 1; // in the last batch but one
    await writeFile(`${path}.part`, part);
    const archive = await ArchiveFile.open(path, OPTIONS);
    expect(archive.found).toBe(2);
    await write(archive);
    await archive.close();
    expect(await readFile(path)).toEqual(await undisturbed());
  });

  test('with all pictures there, only the end is missing', async () => {
    const path = await killed('all.npz', 7);
    const archive = await ArchiveFile.open(path, OPTIONS);
    expect(archive.found).toBe(7);
    await archive.close();
    expect(await readFile(path)).toEqual(await undisturbed());
  });

  test('something else that is asked for is refused, and nothing changes', async () => {
    const path = await killed('other.npz', 4);
    const before = [await readFile(`${path}.part`), await readFile(`${path}.journal`)];
    const messageOf = (facts: ArchiveOptions['facts']) =>
      ArchiveFile.open(path, { ...OPTIONS, facts }).then(
        () => 'nothing was thrown',
        ({ message }: Error) => message.replaceAll(root, 'ROOT'),
      );
    expect(await messageOf({ seed: 5 })).toMatchInlineSnapshot(`
      "ConfigError: ROOT/other.npz: its 7 pictures were started with seed 4, but seed is now 5
        fix: repeat the command with its first settings, or delete ROOT/other.npz.part and ROOT/other.npz.journal to begin anew"
    `);
    expect(await messageOf({ seed: 4, clip: true })).toContain('with clip none, but clip is now true');
    expect([await readFile(`${path}.part`), await readFile(`${path}.journal`)]).toEqual(before);
  });
});

test('a disk without room is told before anything is drawn', async () => {
  const side = 2 ** 23;
  const opening = ArchiveFile.open(join(root, 'huge.npz'), { ...OPTIONS, pictureShape: [side, side, 3] });
  const message = await opening.catch((error: Error) => error.message.replaceAll(root, 'ROOT'));
  expect(String(message).replace(/\d+ are free/, '# are free')).toMatchInlineSnapshot(`
    "DataError: ROOT/huge.npz: the disk is full: the rest needs 1477743627731670 bytes, # are free; 0 of 7 pictures are there
      fix: free some space, then run the same command again; or choose another folder with --out"
  `);
  expect((await readdir(root)).filter((name) => name.startsWith('huge'))).toEqual([]);
});
