/** @file `udit sample`, stopped and killed at work. */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Outcome, runUdit } from './support/run-udit.ts';
import { tinyCard, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

let root: string;
let run: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit killed '));
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  run = join(root, 'my run');
  await mkdir(join(run, 'checkpoints'), { recursive: true });
  await writeTinyCheckpoint(join(run, 'checkpoints', 'step-0000020.safetensors'), tinyCard({ step: 20 }));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

const udit = (...args: readonly string[]): Promise<Outcome> => runUdit(args, root);

test('Ctrl-C ends the process at once, with whole files only', async () => {
  const out = join(root, 'interrupted');
  const bin = fileURLToPath(new URL('../bin/udit.js', import.meta.url));
  const args = ['sample', run, '--count', '5000', '--steps', '50', '--batch-size', '1', '--threads', '1'];
  const child = spawn(process.execPath, [bin, ...args, '--out', out], { stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  child.stderr.on('data', (chunk) => {
    printed += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  await expect.poll(() => readdir(out).catch(() => []), { timeout: 45_000 }).not.toEqual([]);
  child.kill('SIGINT');
  expect(await ended).toBe(130);
  expect(printed).toContain('stopped by Ctrl-C\n');
  const names = await readdir(out);
  expect(names.filter((name) => !/^red-fox-0-\d+\.png$/.test(name))).toEqual([]);
  for (const name of names) await sharp(join(out, name)).raw().toBuffer();
});

/** A module that kills its process when the journal of an archive has got its third record. */
const KILLED_AT_THIRD_RECORD = `data:text/javascript,${encodeURIComponent(`
  import fs from 'node:fs';
  import { syncBuiltinESMExports } from 'node:module';
  const append = fs.appendFileSync;
  let records = 0;
  fs.appendFileSync = (...args) => {
    append(...args);
    if (++records === 3) process.kill(process.pid, 'SIGKILL');
  };
  syncBuiltinESMExports();
`)}`;

test('an archive is gone on with after a kill, to the same bytes', async () => {
  const flags = ['--classes', 'owl,newt', '--count', '50', '--steps', '2', '--no-png', '--npz'];
  const command = ['sample', run, ...flags, '--workers', '1', '--threads', '1', '--out'];
  const [out, archive] = [join(root, 'killed'), 'samples_100x8x8x3.npz'];
  const bin = fileURLToPath(new URL('../bin/udit.js', import.meta.url));
  const args = ['--import', KILLED_AT_THIRD_RECORD, bin, ...command, out];
  const child = spawn(process.execPath, args, { stdio: 'ignore' });
  expect(await new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)))).toBe('SIGKILL');

  const other = await udit(...command, out, '--cfg-scale', '2');
  expect(other.code).toBe(2);
  expect(other.err).toContain('were started with cfgScale 3, but cfgScale is now 2');

  const { code, err } = await udit(...command, out);
  expect(code).toBe(0);
  expect(err).toMatch(/^note: \d+ of 100 images are there already\n/);
  expect(await readdir(out)).toEqual([archive]);
  await udit(...command, join(root, 'undisturbed'));
  const bytes = await readFile(join(root, 'undisturbed', archive));
  expect((await readFile(join(out, archive))).equals(bytes)).toBe(true);
});
