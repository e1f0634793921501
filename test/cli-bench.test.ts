/** @file `udit bench` from the command line to its numbers, on the smallest preset. No test asks how fast it is. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { macsOf, sumMacs, totalMacs } from '../src/engine/graph/macs.ts';
import { autoencoderSpec, featureSpec } from '../src/networks/presets.ts';
import { createAutoencoder, createFeatureNetwork } from '../src/networks/registry.ts';
import { traceNetwork } from '../src/networks/trace.ts';
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

interface Measured {
  readonly precision: string;
  readonly seconds: readonly number[];
  readonly secondsPerImage: number;
  readonly medianSeconds: number;
  readonly gflops?: number;
  readonly peakMemoryMb: number;
  readonly error?: number;
  readonly operations?: Readonly<Record<string, number>>;
}

interface Report {
  readonly contests: readonly { readonly task: string; readonly ours: readonly Measured[] }[];
  readonly skipped: readonly string[];
}

describe('everything in one report', () => {
  let profiles: string;
  let report: Report;
  beforeAll(async () => {
    profiles = join(root, 'new', 'profiles');
    // CUDA sees no GPU, even where there is one.
    vi.stubEnv('CUDA_VISIBLE_DEVICES', '');
    const lists = ['--precision', 'f32,int8', '--device', 'cuda,cpu', '--profile', profiles];
    const { code, out, err } = await bench('--steps', '1', ...lists, '--json');
    expect(code, err).toBe(0);
    report = JSON.parse(out);
  });
  afterAll(() => {
    vi.unstubAllEnvs();
  });
  const oursIn = (task: string) => report.contests.find((contest) => contest.task === task)!.ours;

  test('has every task and precision', () => {
    expect(report).toMatchObject({
      model: 'U-DiT-XS',
      rounds: 1,
      machine: { cores: expect.any(Number) },
      contests: [
        { task: 'forward', device: 'cpu', rivals: [] },
        { task: 'sample', device: 'cpu', rivals: [] },
        { task: 'train', device: 'cpu', rivals: [] },
      ],
    });
    const precisions = report.contests.map(({ ours }) => ours.map(({ precision }) => precision));
    expect(precisions).toEqual([['f32', 'int8'], ['f32', 'int8'], ['f32']]);
    for (const measured of report.contests.flatMap(({ ours }) => ours)) {
      expect(measured).toMatchObject({ workers: 1, threads: 1, versions: { node: process.versions.node } });
      expect(measured.seconds).toEqual([expect.any(Number)]);
      expect(measured.seconds[0]).toBeGreaterThan(0);
      // The native library alone takes more.
      expect(measured.peakMemoryMb).toBeGreaterThan(50);
    }
  });

  test('says how long loading takes, with nothing kept and from the cache', () => {
    for (const measured of [...oursIn('forward'), ...oursIn('sample')]) {
      expect(measured).toMatchObject({
        coldLoadSeconds: expect.any(Number),
        warmLoadSeconds: expect.any(Number),
      });
    }
    expect(oursIn('train')[0]).not.toHaveProperty('warmLoadSeconds');
  });

  test('counts operations by images and evaluations', () => {
    // 0.38 GMACs by README's table; guidance evaluates the network twice.
    for (const [task, evaluations] of [
      ['forward', 1],
      ['sample', 2],
    ] as const) {
      const { gflops, secondsPerImage } = oursIn(task)[0]!;
      expect((gflops! * secondsPerImage) / 2 / evaluations).toBeCloseTo(0.38, 2);
    }
    const [forward] = oursIn('forward');
    expect(forward!.secondsPerImage).toBe(forward!.medianSeconds / 2);
    expect(oursIn('sample')[0]).toMatchObject({
      versions: { sampler: 'dpm++2m', steps: 1, cfgScale: 3, evaluations: 1 },
    });
    expect(oursIn('train')[0]).not.toHaveProperty('gflops');
  });

  test('has the error of int8', () => {
    const [exact, int8] = oursIn('forward');
    expect(exact).not.toHaveProperty('error');
    expect(int8!.error).toBeGreaterThan(1e-3);
    expect(int8!.error).toBeLessThan(5e-2);
  });

  test('has a profile that tells where the time goes', async () => {
    const shares = Object.values(oursIn('forward')[0]!.operations!);
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 9);
    expect((await readdir(profiles)).sort()[0]).toMatch(/^forward-2-cpu-1x1-f32_.*\.json$/);
  });

  test('says what was left out, and why there is no peer', () => {
    expect(report).toMatchObject({
      skipped: [expect.stringMatching(/^device cuda: /), 'training is in f32, not in int8'],
      notes: ['no peer: it draws latents of 4 channels, U-DiT-XS does not'],
    });
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

test.each([
  ['SIGINT', 130, /starting udit/],
  ['SIGHUP', 129, /timing udit/],
] as const)('%s stops it at once, and leaves nothing', async (signal, code, moment) => {
  const scratch = await mkdtemp(join(root, 'scratch-'));
  const flags = ['--model', 'U-DiT-XS', '--rounds', '100000', '--task', 'forward', '--no-peer'];
  const child = spawnUdit(['bench', ...flags], { ...process.env, TMPDIR: scratch });
  await child.hasPrinted(moment);
  expect((await readdir(scratch)).filter((name) => name.startsWith('udit-bench-'))).toHaveLength(1);
  child.kill(signal);
  expect(await child.ended).toEqual({ code, signal: null });
  expect(child.printedToError()).toMatch(/stopped by (Ctrl-C|SIGHUP)\n$/);
  expect((await readdir(scratch)).filter((name) => name.startsWith('udit-bench-'))).toEqual([]);
});

test('a device that is not there is an error where there is no other', async () => {
  vi.stubEnv('CUDA_VISIBLE_DEVICES', '');
  const { code, err } = await bench(...TINY, '--device', 'cuda');
  vi.unstubAllEnvs();
  expect(code).toBe(1);
  expect(err).toMatch(/^RuntimeUnavailableError: device cuda: .*\n {2}fix: /);
});

describe('autoencoders', () => {
  test('both halves are measured, at the size that is asked for', async () => {
    const flags = ['--task', 'encode,decode', '--model', 'autoencoder', '--image-size', '16x24'];
    const { code, out, err } = await runUdit(
      ['bench', ...flags, '--rounds', '1', '--no-peer', '--precision', 'f32,int8', '--json'],
      root,
    );
    expect(code, err).toBe(0);
    const { contests, skipped } = JSON.parse(out) as Report;
    expect(contests).toMatchObject([
      { task: 'encode', batch: 1, ours: [{ precision: 'f32', warmLoadSeconds: expect.any(Number) }] },
      { task: 'decode', batch: 1, ours: [{ precision: 'f32', warmLoadSeconds: expect.any(Number) }] },
    ]);
    expect(skipped).toEqual(['encode is in f32, not in int8', 'decode is in f32, not in int8']);
    const gmacs = contests.map(({ ours: [half] }) => (half!.gflops! * half!.secondsPerImage) / 2);
    const network = createAutoencoder(autoencoderSpec('autoencoder'));
    const { latents, images } = traceNetwork(network, { size: { height: 16, width: 24 } }).outputs;
    for (const [i, output] of [latents, images].entries()) {
      expect(gmacs[i]! / (totalMacs(sumMacs(macsOf([output]))) / 1e9)).toBeCloseTo(1, 6);
    }
  });

  test.each([
    [['--task', 'decode', '--model', 'U-DiT-XS'], 'U-DiT-XS is a denoiser, which has forward, sample, train'],
    [['--task', 'train', '--model', 'TAESD'], 'TAESD is an autoencoder, which has encode, decode'],
    [['--task', 'decode', '--model', 'DINOv2-S/14'], 'DINOv2-S/14 is a feature network, which has features'],
  ])('a task of another role is refused: %j', async (flags, problem) => {
    expect(await runUdit(['bench', ...flags], root)).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining(problem),
    });
  });
});

test('features are measured beside products alone', async () => {
  const flags = ['--task', 'features', '--model', 'DINOv2-S/14', '--batch', '1'];
  const { code, out, err } = await runUdit(['bench', ...flags, '--rounds', '1', '--no-peer', '--json'], root);
  expect(code, err).toBe(0);
  const [contest] = (JSON.parse(out) as Report).contests;
  expect(contest).toMatchObject({ task: 'features', ours: [{ shareOfProductSpeed: expect.any(Number) }] });
  const [{ gflops, secondsPerImage }] = contest!.ours as [Measured];
  const { outputs } = traceNetwork(createFeatureNetwork(featureSpec('DINOv2-S/14')));
  const macs = totalMacs(sumMacs(macsOf(Object.values(outputs))));
  expect((gflops! * secondsPerImage) / 2 / (macs / 1e9)).toBeCloseTo(1, 6);
});
