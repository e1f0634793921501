/** @file `udit bench` from the command line to its numbers, on the smallest preset. No test asks how fast it is. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { runUdit } from './support/run-udit.ts';
import { spawnUdit } from './support/spawn-udit.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit bench '));
});
afterAll(() => rm(root, { recursive: true }));

const bench = (...flags: readonly string[]) =>
  runUdit(['bench', '--model', 'U-DiT-XS', '--batch', '2', '--rounds', '1', ...flags], root);

const TINY = ['--steps', '1', '--no-peer'];

test('measures every task, and says so as JSON', async () => {
  const { code, out } = await bench(...TINY, '--json');
  expect(code).toBe(0);
  const report = JSON.parse(out);
  expect(report).toMatchObject({ model: 'U-DiT-XS', rounds: 1, skipped: [], notes: [] });
  expect(report.machine.cores).toBeGreaterThan(0);
  expect(report.contests.map(({ task }: { task: string }) => task)).toEqual(['forward', 'sample', 'train']);
  for (const { ours, rivals } of report.contests) {
    expect(rivals).toEqual([]);
    expect(ours).toMatchObject([
      { workers: 1, threads: 1, precision: 'f32', versions: { node: process.versions.node } },
    ]);
    expect(ours[0].seconds).toHaveLength(1);
    expect(ours[0].seconds[0]).toBeGreaterThan(0);
    // The native library alone takes more.
    expect(ours[0].peakMemoryMb).toBeGreaterThan(50);
  }
  const [forward, sampling, training] = report.contests;
  for (const { coldLoadSeconds, warmLoadSeconds } of [forward.ours[0], sampling.ours[0]]) {
    expect([coldLoadSeconds, warmLoadSeconds]).toEqual([expect.any(Number), expect.any(Number)]);
  }
  expect(training.ours[0]).not.toHaveProperty('warmLoadSeconds');
  expect(training.ours[0]).not.toHaveProperty('gflops');
  // 0.38 GMACs by README's table; guidance evaluates the network twice.
  for (const [contest, evaluations] of [
    [forward, 1],
    [sampling, 2],
  ]) {
    const { gflops, secondsPerImage } = contest.ours[0];
    expect((gflops * secondsPerImage) / 2 / evaluations).toBeCloseTo(0.38, 2);
  }
  expect(forward.ours[0].secondsPerImage).toBe(forward.ours[0].medianSeconds / 2);
  expect(sampling.ours[0].versions).toMatchObject({
    sampler: 'dpm++2m',
    steps: 1,
    cfgScale: 3,
    evaluations: 1,
  });
});

test.skipIf(availableParallelism() < 2)(
  'several workers share a batch; a table says who did what with which version (needs two cores)',
  async () => {
    const { code, out, err } = await bench(...TINY, '--task', 'forward', '--workers', '2');
    expect({ code, failed: /rror/.test(err) }).toEqual({ code: 0, failed: false });
    const anonymous = out
      .replace(/on .*, \d+ cores/, 'on CPU, n cores')
      .replaceAll(/(node|onnxruntime) [\d.]+/g, '$1 #')
      .replaceAll(/(f32) .*/g, '$1 …')
      .replaceAll(/ +/g, ' ');
    expect(anonymous).toMatchInlineSnapshot(`
      "U-DiT-XS on CPU, n cores, rounds: 1

      forward, batch 2, cpu, 2 cores
       workers×threads precision median s min s s/image images/s GFLOP/s of products alone peak MB per process cold load s warm load s
       udit 0.1.0 2×1 f32 …

       udit 0.1.0: node #, onnxruntime #
      "
    `);
  },
);

test('a profile tells where the time goes', async () => {
  const profiles = join(root, 'new', 'profiles');
  const { out } = await bench(...TINY, '--task', 'forward', '--profile', profiles, '--json');
  const shares = Object.values<number>(JSON.parse(out).contests[0].ours[0].operations);
  expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 9);
  expect((await readdir(profiles))[0]).toMatch(/^forward-2-cpu-1x1-f32_.*\.json$/);
});

test('int8 is measured beside f32, with its error', async () => {
  const { out } = await bench(...TINY, '--task', 'forward,train', '--precision', 'f32,int8', '--json');
  const { contests, skipped } = JSON.parse(out);
  expect(skipped).toEqual(['training is in f32, not in int8']);
  const [exact, int8] = contests[0].ours;
  expect([exact.precision, int8.precision]).toEqual(['f32', 'int8']);
  expect(exact).not.toHaveProperty('error');
  expect(int8.error).toBeGreaterThan(1e-3);
  expect(int8.error).toBeLessThan(5e-2);
});

describe('what cannot be measured', () => {
  test('more cores than there are', async () => {
    const { code, err } = await bench('--workers', '2', '--threads', '4000', '--no-peer');
    expect({ code, err: err.replace(/there are \d+/, 'there are N') }).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: udit bench: 2 workers of 4000 threads need 8000 cores, there are N
        fix: ask for a combination that can run here
      ",
      }
    `);
  });

  test('an unknown preset', async () => {
    const { code, err } = await runUdit(['bench', '--model', 'U-DiT-Q'], root);
    expect({ code, problem: err.split('\n')[0] }).toMatchInlineSnapshot(`
      {
        "code": 2,
        "problem": "ConfigError: preset: there is no preset "U-DiT-Q"",
      }
    `);
  });

  test.each([
    ['--task', 'backward'],
    ['--workers', '1,none'],
    ['--peer-mode', 'fastest'],
  ])('%s %s', async (flag, value) => {
    expect(await bench(flag, value)).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining(`${flag} <list>`),
    });
  });
});

describe('the peer', () => {
  test('is not there for every model, and the report says so', async () => {
    const { code, out } = await bench('--task', 'forward', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out).notes).toEqual(['no peer: it draws latents of 4 channels, U-DiT-XS does not']);
  });

  test('an interpreter without PyTorch is refused', async () => {
    const python = join(root, 'python3');
    await writeFile(python, '#!/bin/sh\necho "ModuleNotFoundError: No module named torch" >&2\nexit 1\n', {
      mode: 0o755,
    });
    const { code, err } = await runUdit(['bench', '--peer-python', python], root);
    expect({ code, err }).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: --peer-python ROOT/python3: it cannot import torch: ModuleNotFoundError: No module named torch
        fix: name a Python interpreter that has PyTorch, or use --no-peer
      ",
      }
    `);
  });
});

test.each([
  ['SIGINT', 130],
  ['SIGHUP', 129],
] as const)('%s stops it at once, and leaves nothing', async (signal, code) => {
  const scratch = await mkdtemp(join(root, 'scratch-'));
  const flags = ['--model', 'U-DiT-XS', '--rounds', '100000', '--task', 'forward', '--no-peer'];
  const child = spawnUdit(['bench', ...flags], { ...process.env, TMPDIR: scratch });
  await child.hasPrinted(/timing udit/);
  expect((await readdir(scratch)).filter((name) => name.startsWith('udit-bench-'))).toHaveLength(1);
  child.kill(signal);
  expect(await child.ended).toEqual({ code, signal: null });
  expect(child.printedToError()).toMatch(/stopped by (Ctrl-C|SIGHUP)\n$/);
  expect((await readdir(scratch)).filter((name) => name.startsWith('udit-bench-'))).toEqual([]);
});

describe('a device that is not there', () => {
  // CUDA sees no GPU, even where there is one.
  beforeAll(() => {
    vi.stubEnv('CUDA_VISIBLE_DEVICES', '');
  });
  afterAll(() => {
    vi.unstubAllEnvs();
  });

  test('is left out, and the others are measured', async () => {
    const { code, out } = await bench(...TINY, '--task', 'forward', '--device', 'cuda,cpu', '--json');
    expect(code).toBe(0);
    const { skipped, contests } = JSON.parse(out);
    expect(skipped).toEqual([expect.stringMatching(/^device cuda: /)]);
    expect(contests).toMatchObject([{ device: 'cpu' }]);
  });

  test('is an error where there is no other', async () => {
    const { code, err } = await bench(...TINY, '--device', 'cuda');
    expect(code).toBe(1);
    expect(err).toMatch(/^RuntimeUnavailableError: device cuda: .*\n {2}fix: /);
  });
});
