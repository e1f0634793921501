/** @file Training on a disk that fills up, on a small one that is mounted for it. */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { readSafetensors } from '../src/formats/file-node.ts';
import { listCheckpoints } from '../src/models/run-checkpoints-node.ts';
import { writePictureFolder } from './support/picture-folder.ts';
import { type Outcome, runUdit } from './support/run-udit.ts';
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
  if (isMounted) execFileSync('umount', [disk]);
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
  await mkdir(join(disk, 'run'));
  await writeFile(join(disk, 'run', 'log.txt'), '');
  // Room is left for folders and config.json only.
  await writeFile(join(disk, 'filling'), new Uint8Array(DISK_BYTES - 3 * 4096));
  const { code, err } = await train();
  expect(code).toBe(1);
  expect(err).toMatch(/^DataError: ROOT\/disk\/run\/.*: the disk is full/m);
});
