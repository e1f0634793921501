/** @file Running models looks up no host and leaves no file behind but those that were asked for. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { tinyDiTCard, writeTinyCheckpoint } from './support/tiny-checkpoint.ts';

const UDIT = fileURLToPath(new URL('../bin/udit.js', import.meta.url));
const BACKEND = new URL('../src/engine/runtime/cpu-node.ts', import.meta.url);
const TSX = import.meta.resolve('tsx/esm/api');

/** Folders of a user: `home`, `work` (the current one), `cache` (udit's) and `tmp`. */
let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit kept '));
  for (const name of ['home', 'work', 'tmp']) await mkdir(join(root, name));
});
afterEach(() => rm(root, { recursive: true }));

/** A program as a user starts it, with nothing else in its environment. */
function runNode(
  args: readonly string[],
  { home = join(root, 'home'), launcher = [] as readonly string[] } = {},
) {
  const [program, ...rest] = [...launcher, process.execPath, ...args];
  const env = {
    PATH: process.env.PATH,
    HOME: home,
    TMPDIR: join(root, 'tmp'),
    UDIT_CACHE: join(root, 'cache'),
  };
  return promisify(execFile)(program!, rest, { cwd: join(root, 'work'), env });
}

/** Draws two pictures in two threads; the compiler's process runs before. */
async function draw(options: Parameters<typeof runNode>[1] = {}): Promise<string> {
  const checkpoint = join(root, 'tiny.safetensors');
  await writeTinyCheckpoint(checkpoint, tinyDiTCard());
  const what = ['--classes', 'Owl', '--count', '2', '--steps', '2', '--no-png', '--npz'];
  const { stderr } = await runNode(
    [UDIT, 'sample', checkpoint, ...what, '--batch-size', '1', '--workers', '2'],
    options,
  );
  return stderr;
}

/** All that lies in the user's folders, but for what tsx keeps of a checkout. */
async function filesLeft(): Promise<string[]> {
  const files: string[] = [];
  for (const folder of ['home', 'work', 'tmp']) {
    for (const entry of await readdir(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isDirectory() && !/\/tmp\/tsx-[^/]+$/.test(entry.parentPath)) {
        files.push(join(entry.parentPath, entry.name).slice(root.length + 1));
      }
    }
  }
  return files.sort();
}

const DRAWN = ['work/samples/samples_2x8x8x3.npz'];

describe('udit sample leaves its pictures and its cache, and warns of nothing,', () => {
  test('with an empty home', async () => {
    expect(await draw()).not.toContain('onnxruntime');
    expect(await filesLeft()).toEqual(DRAWN);
    expect(await readdir(join(root, 'cache'))).toEqual(['compiled']);
  });

  test('with a home that cannot be written', async () => {
    await writeFile(join(root, 'file'), '');
    expect(await draw({ home: join(root, 'file/home') })).not.toContain('onnxruntime');
    expect(await filesLeft()).toEqual(DRAWN);
  });

  test('without a network', async ({ skip }) => {
    const launcher = ['unshare', '--net'];
    if (!runs(launcher)) skip('a process without a network cannot be started here');
    expect(await draw({ launcher })).not.toContain('onnxruntime');
    expect(await filesLeft()).toEqual(DRAWN);
  });
});

// ONNX Runtime's telemetry reads certificates and the machine's identifier at once, and looks up its host ten seconds later.
test('udit sample opens no connection, looks up no host, and prepares for neither', async ({ skip }) => {
  const record = join(root, 'record.txt');
  const launcher = ['strace', '-f', '-qq', '-e', 'trace=%network,%file', '-o', record];
  if (!runs(launcher)) skip('strace is not installed, or may not be used');
  await draw({ launcher });
  const calls = (await readFile(record, 'utf8')).split('\n');
  expect(calls.filter((call) => call.includes('libonnxruntime'))).not.toEqual([]);
  const suspicious = /AF_INET|resolv\.conf|\/etc\/hosts|\/ssl\/certs|machine-id/;
  expect(calls.filter((call) => suspicious.test(call))).toEqual([]);
});

describe('a program that runs models in a worker thread of its own', () => {
  const PROGRAM = `
    const { Worker, isMainThread } = require('node:worker_threads');
    if (isMainThread) new Worker(__filename);
    else (async () => {
      (await import('${TSX}')).register();
      const { cpuBackend } = await import('${BACKEND}');
      console.log((await cpuBackend.features()).device);
    })();`;
  /** Takes the place of an optional dependency that is not installed. */
  const WITHOUT_KOFFI = `
    const modules = require('node:module');
    const { _load } = modules;
    modules._load = function (name, ...rest) {
      if (name === 'koffi') throw new Error('koffi is not here');
      return _load.call(this, name, ...rest);
    };`;
  beforeEach(async () => {
    await writeFile(join(root, 'program.cjs'), PROGRAM);
    await writeFile(join(root, 'without-koffi.cjs'), WITHOUT_KOFFI);
  });

  test('leaves nothing either', async ({ skip }) => {
    try {
      await import('koffi');
    } catch {
      skip('needs the optional dependency koffi');
    }
    expect((await runNode([join(root, 'program.cjs')])).stdout).toBe('cpu\n');
    expect(await filesLeft()).toEqual([]);
  });

  test('is told to set the switch where udit cannot', async () => {
    const running = runNode(['--require', join(root, 'without-koffi.cjs'), join(root, 'program.cjs')]);
    const { stderr } = await running.then(
      () => ({ stderr: '' }),
      (error: { stderr: string }) => error,
    );
    expect(stderr.match(/RuntimeUnavailableError: .*\n {2}fix: .*/)?.[0]).toMatchInlineSnapshot(`
      "RuntimeUnavailableError: runtime cpu (thread): ORT_DISABLE_TELEMETRY is not set, and a worker thread cannot set it for its process without the package koffi
        fix: start the program with ORT_DISABLE_TELEMETRY=1"
    `);
    expect(await filesLeft()).toEqual([]);
  });
});

/** Whether programs can be started so here. */
function runs([program, ...args]: readonly string[]): boolean {
  try {
    execFileSync(program!, [...args, 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
