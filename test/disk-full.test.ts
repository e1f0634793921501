/** @file Training and encoding on a disk that fills up, on a small one that is mounted for it. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openLatents } from '../src/data/datasets/latents/open-latents-node.ts';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { readSafetensors } from '../src/formats/file-node.ts';
import { AppendFile } from '../src/host/files/append-file-node.ts';
import { listCheckpoints } from '../src/models/run-checkpoints-node.ts';
import { writeModel } from '../src/models/write-model-node.ts';
import { encodePictures } from '../src/tasks/encoding/encode-node.ts';
import { openPictures } from '../src/tasks/encoding/picture-files-node.ts';
import { writePictureFolder } from './support/picture-folder.ts';
import { type Outcome, runUdit } from './support/run-udit.ts';
import { tinyAutoencoder } from './support/tiny-autoencoder.ts';
import { TINY_TRAINING_FLAGS } from './support/tiny-training.ts';

const DISK_BYTES = 512 * 1024;

let root: string;
let disk: string;
let isMounted: boolean;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit full '));
  disk = join(root, 'disk');
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  await mkdir(disk);
  await writePictureFolder(join(root, 'pictures'), { classes: ['cat', 'dog'], perClass: 8 });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk], { stdio: 'ignore' });
    isMounted = true;
  } catch {
    isMounted = false;
  }
});
afterEach(async () => {
  vi.unstubAllEnvs();
  // Shards stay open as long as the process may read them.
  if (isMounted) execFileSync('umount', ['--lazy', disk]);
  await rm(root, { recursive: true });
});

function train(): Promise<Outcome> {
  const place = ['--data-path', join(root, 'pictures'), '--results-dir', disk, '--name', 'run'];
  const flags = ['--ckpt-every', '1', '--set', 'logging.keepLast=100'];
  return runUdit(['train', ...place, ...TINY_TRAINING_FLAGS, ...flags], root);
}

test('the checkpoints before stay whole, the error says what to do, and then the run goes on', async ({
  skip,
}) => {
  if (!isMounted) skip('mounting a tmpfs is not allowed here');
  const { code, err } = await train();
  expect(code).toBe(1);
  const message = err.slice(err.indexOf('CheckpointError'));
  expect(message.replaceAll(/\d+/g, '#')).toMatchInlineSnapshot(`
    "CheckpointError: ROOT/disk/run/checkpoints/step-#.safetensors: the disk is full: the file needs # bytes, # are free
      fix: free some space; the previous file, if there was one, is unchanged
    "
  `);

  const checkpoints = await listCheckpoints(join(disk, 'run', 'checkpoints'));
  expect(checkpoints.length).toBeGreaterThan(1);
  for (const { path, step } of checkpoints) {
    expect((await readSafetensors(path)).metadata.step).toBe(String(step));
  }
  const latest = checkpoints.at(-1)!.step;

  expect((await train()).code).toBe(1);
  execFileSync('mount', ['-o', 'remount,size=16m', disk]);
  const again = await train();
  expect(again.code).toBe(0);
  expect(again.err).toContain(`continuing at step ${latest} from `);
});

test('a log that cannot be written says so too', async ({ skip }) => {
  if (!isMounted) skip('mounting a tmpfs is not allowed here');
  const log = new AppendFile(join(disk, 'log.txt'));
  await writeFile(join(disk, 'filling'), new Uint8Array(DISK_BYTES));
  expect(() => log.append('a line\n')).toThrowError(/^DataError: .*log.txt: the disk is full/);
  log.close();
});

test('a disk without room for a checkpoint is found before anything is trained', async ({ skip }) => {
  if (!isMounted) skip('mounting a tmpfs is not allowed here');
  await writeFile(join(disk, 'filling'), new Uint8Array(DISK_BYTES - 3 * 4096));
  const { code, err } = await train();
  expect({ code, err: err.replaceAll(/[\d.]+ [kM]?B/g, '#') }).toEqual({
    code: 1,
    err: `CheckpointError: ROOT/disk/run: the disk has too little room: at least # are needed, # are free
  fix: free some space, or choose a writable folder with --results-dir
`,
  });
  expect(await readdir(disk)).toEqual(['filling']);
});

test('encoding keeps the shards before, and goes on when there is room', async ({ skip }) => {
  if (!isMounted) skip('mounting a tmpfs is not allowed here');
  const autoencoder = join(root, 'tiny-kl.safetensors');
  await writeModel(autoencoder, tinyAutoencoder());
  const out = join(disk, 'latents');
  const encode = () =>
    runUdit(
      [
        ...['encode', join(root, 'pictures'), '--out', out, '--autoencoder', autoencoder],
        ...['--image-size', '16', '--threads', '1', '--shard-size', '4', '--layout', 'fast-dit'],
      ],
      root,
    );
  // Room is left for two shards of some 17 kB.
  const filling = join(disk, 'filling');
  await writeFile(filling, new Uint8Array(DISK_BYTES - 15 * 4096));
  const { code, err } = await encode();
  expect(code).toBe(1);
  expect(err).toMatch(/^DataError: ROOT\/disk\/latents: the disk has too little room: at least /m);
  expect(await readdir(out)).toEqual([]);

  // Enough is free at first, and taken by others on the way.
  await rm(filling);
  const encoding = encodePictures({
    ...{ source: await openPictures(join(root, 'pictures')), out, autoencoder: tinyAutoencoder() },
    ...{ size: { height: 16, width: 16 }, shardSize: 4, backend: cpuBackend, workers: 1 },
    observer: {
      onProgress(done) {
        if (done === 1) writeFileSync(filling, new Uint8Array(DISK_BYTES - 15 * 4096));
      },
    },
  });
  const failure = await encoding.catch((error: Error) => error.message.replaceAll(root, 'ROOT'));
  expect(String(failure).replaceAll(/\d+/g, '#')).toMatchInlineSnapshot(`
    "DataError: ROOT/disk/latents/shard-#.safetensors: the disk is full: the file needs # bytes, # are free
      fix: free some space; the previous file, if there was one, is unchanged"
  `);
  const shards = (await readdir(out)).sort();
  expect(shards).toEqual(['shard-00000.safetensors', 'shard-00001.safetensors']);

  // Shards fit now, and the folder of fast-DiT does not.
  await truncate(filling, DISK_BYTES - 40 * 4096);
  const second = await encode();
  expect(second.code).toBe(1);
  expect(second.err).toMatch(/^DataError: ROOT\/disk\/latents-fast-dit\/imagenet16_.*: the disk is full/m);
  expect((await readdir(disk)).sort()).toEqual(['filling', 'latents']);

  execFileSync('mount', ['-o', 'remount,size=16m', disk]);
  const third = await encode();
  expect(third.code, third.err).toBe(0);
  expect(third.out).toContain('before      16 of them');
  expect((await openLatents(join(disk, 'latents-fast-dit'))).samples).toHaveLength(16);
});
