/** @file The PyTorch peer computes what the originals do. Needs PyTorch; elsewhere it is skipped. */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { autoencoderSpec, featureSpec, presetSpec } from '../src/networks/presets.ts';
import { findPeers } from '../src/tasks/bench/peer.ts';
import { planBench } from '../src/tasks/bench/plan.ts';
import { REPOSITORY } from './support/documents.ts';

const PYTHON = process.env.UDIT_PEER_PYTHON?.split(',')[0] ?? '/usr/bin/python3';
const hasTorch = spawnSync(PYTHON, ['-c', 'import torch']).status === 0;
if (!hasTorch) console.log(`skipped: ${PYTHON} cannot import torch, so the peer is not checked`);

const peer = async (...args: readonly string[]) => {
  const script = join(REPOSITORY, 'bench/peer/udit_torch.py');
  const { stdout } = await promisify(execFile)(PYTHON, [script, ...args]);
  return JSON.parse(stdout.trim().split('\n').at(-1)!);
};

test.skipIf(!hasTorch).each(['U-DiT', 'DiT'])('%s: forward, sampling and training', async (family) => {
  const model = JSON.stringify({ family, config: {} });
  const fixtures = join(REPOSITORY, 'test/fixtures');
  expect(await peer('--model', model, '--check', fixtures, '--json')).toMatchObject({ agrees: true });
});

test.skipIf(!hasTorch).each(['SiT-B/4', 'DiT-LLaMA-B/4', 'SiT-LLaMA-S/2', 'U-DiT-T'])(
  '%s: forward',
  async (name) => {
    const model = JSON.stringify(presetSpec(name));
    const fixtures = join(REPOSITORY, 'test/fixtures');
    const report = await peer('--model', model, '--task', 'forward', '--check', fixtures, '--json');
    expect(report).toMatchObject({ agrees: true });
  },
);

test.skipIf(!hasTorch).each([
  ['SD-VAE', 'encode'],
  ['SD-VAE', 'decode'],
  ['TAESD', 'encode'],
  ['TAESD', 'decode'],
])('%s: %s', async (name, task) => {
  const model = JSON.stringify(autoencoderSpec(name));
  const fixtures = join(REPOSITORY, 'test/fixtures');
  const report = await peer('--model', model, '--task', task, '--check', fixtures, '--json');
  expect(report).toMatchObject({ agrees: true });
});

test.skipIf(!hasTorch).each([
  ['FID-Inception', 'eager'],
  ['FID-Inception', 'tuned'],
  ['DINOv2-S/14', 'eager'],
])('%s, %s: features', async (name, mode) => {
  const model = JSON.stringify(featureSpec(name));
  const work = ['--model', model, '--task', 'features', '--mode', mode];
  const report = await peer(...work, '--check', join(REPOSITORY, 'test/fixtures'), '--json');
  expect(report).toMatchObject({ agrees: true });
});

test.skipIf(!hasTorch)('it works when udit tells it to', async () => {
  const ended = new AbortController();
  const { rivals, notes } = await findPeers(
    { model: 'DiT-S/8', tasks: ['sample'], devices: ['cpu'], pythons: [PYTHON], modes: ['eager'] },
    ended.signal,
  );
  expect(notes).toEqual([]);
  const request = { model: 'DiT-S/8', tasks: ['sample'], batches: [2], workers: [1], threads: [1] } as const;
  const { contests } = planBench(
    { ...request, precisions: ['f32'], devices: ['cpu'], sampling: { steps: 1 } },
    { coreCount: 1, memory: Number.POSITIVE_INFINITY },
    () => 0,
  );
  const contestant = await rivals[0]!.start(contests[0]!, { workers: 2, threads: 1 }, ended.signal);
  expect(await contestant.run()).toBeGreaterThan(0);
  expect((await contestant.quit()).totalMb).toBeGreaterThan(100);
  ended.abort();
});
