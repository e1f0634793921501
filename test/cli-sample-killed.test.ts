/** @file `udit sample` in pieces: stopped, killed at work, and split over machines. */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { quoted } from '../src/core/command.ts';
import { tensorOf } from '../src/core/host-tensor.ts';
import { npyHeader } from '../src/formats/npy.ts';
import { type Outcome, runUdit } from './support/run-udit.ts';
import { tinyDiTCard, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

let root: string;
let run: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit killed '));
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  run = join(root, 'my run');
  await mkdir(join(run, 'checkpoints'), { recursive: true });
  await writeTinyCheckpoint(join(run, 'checkpoints', 'step-0000020.safetensors'), tinyDiTCard({ step: 20 }));
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
  const again = `npx udit ${[...args, '--out', out].map(quoted).join(' ')}`;
  expect(printed).toContain(`stopped by Ctrl-C\nto go on: ${again}\n`);
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

const sample = (folder: string, ...flags: readonly string[]) =>
  udit('sample', run, '--steps', '2', '--workers', '1', '--out', join(root, folder), ...flags);

test('a job in parts, joined by the same command, with noise from a file or without', async () => {
  const noise = tensorOf(
    'f32',
    [4, 3, 8, 8],
    Array.from({ length: 4 * 192 }, (_, i) => Math.sin(i)),
  );
  await writeFile(join(root, 'noise.npy'), [
    npyHeader('f32', noise.shape),
    new Uint8Array(noise.data.buffer),
  ]);
  const flags = ['--classes', 'owl,newt', '--count', '2', '--npz', '--noise', join(root, 'noise.npy')];
  await sample('undivided', ...flags);
  for (const part of ['2/2', '1/2']) {
    const { out } = await sample('divided', ...flags, '--part', part);
    expect(out).toContain('2 images in ');
  }
  const { err } = await sample('divided', ...flags);
  expect(err).toContain('note: 4 of 4 images are there already\n');
  for (const name of await readdir(join(root, 'undivided')))
    expect(await readFile(join(root, 'divided', name))).toEqual(
      await readFile(join(root, 'undivided', name)),
    );
  const wrong = await sample('wrong', '--classes', 'owl', '--noise', join(root, 'noise.npy'), '--count', '1');
  expect([wrong.code, wrong.err]).toMatchInlineSnapshot(`
    [
      2,
      "ConfigError: --noise: it has the shape [4,3,8,8], [1,3,8,8] is needed
      fix: give noise for each image, [images, channels, height, width]
    ",
    ]
  `);
});
