import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Rival } from './contest.ts';
import { findPeers, layoutsOf, type PeerMode, type PeerRequest } from './peer.ts';
import { type Contest, DENOISER_TASKS, type Task, type Workload } from './plan.ts';

/** Answers as bench/peer/udit_torch.py does; modes are right unless they are compiled. */
const FAKE_PYTHON = `#!/usr/bin/env node
const flags = process.argv.slice(3);
const valueOf = (flag) => flags[flags.indexOf(flag) + 1];
const say = (answer) => console.log(JSON.stringify(answer));
const { OPENBLAS_CORETYPE: core = 'none', OPENBLAS_L2_SIZE: l2 } = process.env;
if (flags.includes('--describe')) say({ torch: '9.0', modes: { cpu: ['eager', 'compile', 'openvino'], cuda: ['eager'] }, blas: 'OpenBLAS' });
else if (flags.includes('--matrix-speed')) {
  if (core === 'ZEN') process.exit(132);
  say({ gflops: { none: 50, HASWELL: 100, SKYLAKEX: 200 }[core], correct: core !== 'SKYLAKEX' });
} else if (flags.includes('--check')) say({ agrees: valueOf('--mode') !== 'compile', worst: 'forward, rel L2: 0.3 (limit 2e-05)' });
else {
  say({ ready: true, core, l2: l2 ?? 'none', batch: valueOf('--batch'), device: valueOf('--device'), threads: valueOf('--threads') });
  require('node:readline').createInterface({ input: process.stdin }).on('line', (line) =>
    say(line === 'quit' ? { peak_rss_mb: 10 } : { interval: [0, 1] }));
}
`;

let folder: string;
let python: string;
let ended = new AbortController();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit peer '));
  python = join(folder, 'python3');
  await writeFile(python, FAKE_PYTHON, { mode: 0o755 });
});
afterEach(() => {
  ended.abort();
  ended = new AbortController();
});
afterAll(() => rm(folder, { recursive: true }));

const find = (modes: readonly PeerMode[], request: Partial<PeerRequest> = {}) =>
  findPeers(
    { model: 'DiT-S/8', tasks: DENOISER_TASKS, devices: ['cpu'], pythons: [python], modes, ...request },
    ended.signal,
  );

const contest = (changes: Partial<Workload> = {}, cores = 2): Contest => {
  const workload: Workload = {
    task: 'forward',
    model: 'DiT-S/8',
    batch: 8,
    workers: 1,
    threads: 1,
    precision: 'f32',
    device: 'cpu',
    sampling: { steps: 2 },
    ...changes,
  };
  const { task, batch, device } = workload;
  return { task, batch, device, cores, workloads: [workload] };
};

test('a mode is a rival; one that this PyTorch lacks is a note', async () => {
  const { rivals, notes } = await find(['eager', 'bf16']);
  expect(rivals.map(({ name, precision }) => [name, precision])).toEqual([['PyTorch 9.0 eager', 'f32']]);
  expect(notes).toEqual(['PyTorch 9.0 has no mode bf16 on cpu here']);
});

test('runs on the fastest kernels that are right, each process with its share', async () => {
  const [eager] = (await find(['eager'])).rivals as [Rival];
  const contestant = await eager.start(contest(), { workers: 2, threads: 1 }, ended.signal);
  expect(contestant.introduction).toEqual({
    ...{ core: 'HASWELL', l2: 'none', batch: '4', device: 'cpu', threads: '1' },
  });
  expect(await contestant.run()).toBe(1);
  expect(await contestant.quit()).toEqual({ totalMb: 20, largestMb: 10 });
});

test('a mode that computes something else is not timed', async () => {
  const [compiled] = (await find(['compile'])).rivals as [Rival];
  const starting = compiled.start(contest(), { workers: 1, threads: 1 }, ended.signal);
  await expect(starting).rejects.toThrowErrorMatchingInlineSnapshot(
    `[RuntimeUnavailableError: RuntimeUnavailableError: bench PyTorch 9.0 compile: it is not timed, since its results differ from those of the originals: forward, rel L2: 0.3 (limit 2e-05)]`,
  );
});

test('takes part where it can do the same', async () => {
  const { rivals } = await find(['eager', 'openvino']);
  const takingPart = (changes: Partial<Workload>) =>
    rivals
      .filter((rival) => rival.layouts(contest(changes)).length > 0)
      .map(({ name }) => name.split(' ').at(-1));
  expect(takingPart({})).toEqual(['eager', 'openvino']);
  expect(takingPart({ task: 'train' })).toEqual(['eager']);
  expect(takingPart({ task: 'sample' })).toEqual(['eager', 'openvino']);
  expect(takingPart({ task: 'sample', sampling: { steps: 2, sampler: 'ddim' } })).toEqual([]);
  expect(takingPart({ device: 'wasm' })).toEqual([]);
});

test('of a model whose sampling and training it lacks it does forward, and says so', async () => {
  const doing = async (model: string) => {
    const { rivals, notes } = await find(['eager'], { model });
    const tasks = DENOISER_TASKS.filter((task) =>
      rivals.some((rival) => rival.layouts(contest({ task })).length > 0),
    );
    return { tasks, notes };
  };
  expect(await doing('U-DiT-L')).toEqual({ tasks: ['forward', 'sample', 'train'], notes: [] });
  for (const model of ['SiT-XL/2', 'DiT-LLaMA-B/4', 'SiT-LLaMA-S/2', 'U-DiT-T', 'DiT-UNet-Slim']) {
    const note = `the peer does only forward of ${model}: it samples and trains as U-DiT-S and DiT do`;
    expect(await doing(model)).toEqual({ tasks: ['forward'], notes: [note] });
  }
  expect(await doing('DiT-UNet-KV')).toEqual({
    tasks: [],
    notes: ['no peer: it cannot downsample keys and values alone, as DiT-UNet-KV does'],
  });
  const { notes } = await find(['eager'], { model: 'SiT-XL/2', tasks: ['forward'] });
  expect(notes).toEqual([]);
});

test('of an autoencoder it does both halves, without norms in TAESD', async () => {
  const { rivals, notes } = await find(['eager'], { model: 'TAESD', tasks: ['encode', 'decode'] });
  expect(notes).toEqual([]);
  const layouts = (task: Task) => rivals[0]!.layouts(contest({ task, model: 'TAESD', batch: 1 })).length;
  expect([layouts('encode'), layouts('decode')]).toEqual([2, 2]);
  expect((await find(['eager'], { model: 'TAEF2', tasks: ['decode'] })).notes).toEqual([
    'no peer: it has no TAESD with norms, as TAEF2 is',
  ]);
});

test('of a feature network it has pictures of its own size', async () => {
  const model = 'FID-Inception';
  const { rivals, notes } = await find(['eager'], { model, tasks: ['features'] });
  expect(notes).toEqual([]);
  const layouts = (side?: number) => {
    const size = side === undefined ? {} : { size: { height: side, width: side } };
    return rivals[0]!.layouts(contest({ task: 'features', model, batch: 1, ...size })).length;
  };
  expect([layouts(), layouts(299), layouts(256)]).toEqual([2, 2, 0]);
});

test('on CUDA where its PyTorch has it, else with a note', async () => {
  const { rivals, notes } = await find(['eager', 'openvino'], { devices: ['cuda', 'webgpu'] });
  expect(rivals.map(({ name }) => name)).toEqual(['PyTorch 9.0 eager']);
  expect(notes).toEqual(['PyTorch 9.0 has no mode openvino on cuda here']);
  const onCuda = contest({ device: 'cuda' }, 1);
  expect(rivals[0]!.layouts(onCuda)).toEqual([{ workers: 1, threads: 1 }]);
  const contestant = await rivals[0]!.start(onCuda, { workers: 1, threads: 1 }, ended.signal);
  expect(contestant.introduction).toMatchObject({ device: 'cuda' });
});

test('layouts use all cores, and fewer threads where processes cannot', () => {
  expect(layoutsOf({ batch: 8, cores: 1 })).toEqual([{ workers: 1, threads: 1 }]);
  expect(layoutsOf({ batch: 8, cores: 2 })).toEqual([
    { workers: 1, threads: 2 },
    { workers: 2, threads: 1 },
  ]);
  expect(layoutsOf({ batch: 1, cores: 2 })).toEqual([
    { workers: 1, threads: 2 },
    { workers: 1, threads: 1 },
  ]);
  expect(layoutsOf({ batch: 6, cores: 4 })).toEqual([
    { workers: 1, threads: 4 },
    { workers: 2, threads: 2 },
    { workers: 3, threads: 1 },
  ]);
});
