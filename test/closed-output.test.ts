/** @file Commands whose reader goes away, as `head` does and a terminal that is closed: none ends in a stack trace, none loses its work. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findPython } from './support/find-python.ts';
import { writePictureFolder } from './support/picture-folder.ts';
import { runUnread } from './support/spawn-udit.ts';
import { TINY_TRAINING_FLAGS } from './support/tiny-training.ts';

const BIN = fileURLToPath(new URL('../bin/udit.js', import.meta.url));

let root: string;
let environment: NodeJS.ProcessEnv;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit closed '));
  environment = { ...process.env, UDIT_CACHE: join(root, 'cache') };
  await writePictureFolder(join(root, 'pictures'), { classes: ['cat', 'dog'], perClass: 8 });
});
afterAll(() => rm(root, { recursive: true }));

test('help and results that nobody reads end the command as SIGPIPE would', async () => {
  for (const args of [['--help'], ['inspect', 'U-DiT-XS', '--json'], ['train', '--dry-run']]) {
    expect(await runUnread(args, environment), args.join(' ')).toEqual({ code: 141, signal: null });
  }
});

test('an error keeps its exit code', async () => {
  expect(await runUnread(['inspect', 'nothing'], environment)).toMatchObject({ code: 2 });
});

test('a training goes on to its end and writes its checkpoints and its log', async () => {
  const place = ['--data-path', join(root, 'pictures'), '--results-dir', root, '--name', 'run'];
  const flags = ['--ckpt-every', '10', '--evaluate-every', '10', '--set', 'logging.sampleEvery=10'];
  const args = ['train', ...place, ...TINY_TRAINING_FLAGS, ...flags];
  expect(await runUnread(args, environment)).toEqual({ code: 141, signal: null });
  expect(await readdir(join(root, 'run', 'checkpoints'))).toEqual([
    'step-0000010.safetensors',
    'step-0000020.safetensors',
  ]);
  const log = await readFile(join(root, 'run', 'log.txt'), 'utf8');
  expect(log).toContain('step 20: checkpoint');
  expect(log).toContain('step 20: samples in');
  expect(existsSync(join(root, 'run', 'training.lock'))).toBe(false);
});

/** Runs its arguments at a terminal that is closed as soon as a held-out loss is printed. */
const AT_CLOSING_TERMINAL = `
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
printed = b''
while b'held-out loss' not in printed:
    printed += os.read(terminal, 1000)
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))`;

test('a terminal that is closed leaves a checkpoint', async ({ skip }) => {
  const python = (await findPython('import pty, os; os.waitstatus_to_exitcode')) ?? skip('no Python');
  const place = ['--data-path', join(root, 'pictures'), '--results-dir', root, '--name', 'closed'];
  const args = ['train', ...place, ...TINY_TRAINING_FLAGS, '--steps', '100000'];
  const program = ['-c', AT_CLOSING_TERMINAL, process.execPath, BIN, ...args];
  const { stdout } = await promisify(execFile)(python, program, { env: environment });
  expect(stdout).toBe('129\n');
  expect(await readdir(join(root, 'closed', 'checkpoints'))).not.toEqual([]);
  expect(existsSync(join(root, 'closed', 'training.lock'))).toBe(false);
});

test.runIf(existsSync('/dev/full'))('results that a full disk does not take are an error', async () => {
  const full = await open('/dev/full', 'w');
  const child = spawn(process.execPath, [BIN, '--help'], { stdio: ['ignore', full.fd, 'pipe'] });
  let printed = '';
  child.stderr!.on('data', (chunk) => {
    printed += chunk;
  });
  const [code] = await once(child, 'close');
  await full.close();
  expect(code).toBe(1);
  expect(printed).toMatchInlineSnapshot(`
    "DataError: standard output: cannot be written (ENOSPC)
      fix: print the results somewhere else; files are written already
    "
  `);
});
