import { expect, test } from 'vitest';
import { type BenchRequest, planBench } from './plan.ts';

const request = (changes: Partial<BenchRequest> = {}): BenchRequest => ({
  model: 'U-DiT-S',
  tasks: ['forward'],
  batches: [8],
  workers: [1],
  threads: [1],
  precisions: ['f32'],
  devices: ['cpu'],
  sampling: { steps: 10 },
  ...changes,
});

const shortly = (changes: Partial<BenchRequest>, coreCount: number) => {
  const { contests, skipped } = planBench(
    request(changes),
    { coreCount, memory: 1e9 },
    ({ batch }) => batch * 1e6,
  );
  const names = contests.map(
    ({ task, batch, device, cores, workloads }) =>
      `${task} ${batch} ${device} on ${cores}: ${workloads.map(({ workers, threads }) => `${workers}×${threads}`).join(' ')}`,
  );
  return { names, skipped };
};

test('workloads on as many cores are one contest', () => {
  expect(shortly({ workers: [1, 2], threads: [1, 2] }, 4)).toEqual({
    names: ['forward 8 cpu on 1: 1×1', 'forward 8 cpu on 2: 1×2 2×1', 'forward 8 cpu on 4: 2×2'],
    skipped: [],
  });
});

test('every task, batch and device is a contest of its own', () => {
  expect(
    shortly({ tasks: ['forward', 'train'], batches: [1, 8], devices: ['cpu', 'wasm'] }, 1).names,
  ).toEqual([
    'forward 1 cpu on 1: 1×1',
    'forward 1 wasm on 1: 1×1',
    'forward 8 cpu on 1: 1×1',
    'forward 8 wasm on 1: 1×1',
    'train 1 cpu on 1: 1×1',
    'train 1 wasm on 1: 1×1',
    'train 8 cpu on 1: 1×1',
    'train 8 wasm on 1: 1×1',
  ]);
});

test('says what is left out, and why', () => {
  const tasks = ['forward', 'train'] as const;
  expect(shortly({ tasks, batches: [3], workers: [1, 2], threads: [1, 3] }, 4)).toMatchInlineSnapshot(`
    {
      "names": [
        "forward 3 cpu on 1: 1×1",
        "forward 3 cpu on 3: 1×3",
        "train 3 cpu on 1: 1×1",
        "train 3 cpu on 3: 1×3",
      ],
      "skipped": [
        "a batch of 3 cannot be shared out evenly among 2 workers",
        "2 workers of 3 threads need 6 cores, there are 4",
      ],
    }
  `);
  expect(shortly({ tasks: ['train'], precisions: ['int8'] }, 1).skipped).toEqual([
    'training is in f32, not in int8',
  ]);
  expect(shortly({ devices: ['wasm'], workers: [2] }, 2)).toMatchInlineSnapshot(`
    {
      "names": [],
      "skipped": [
        "wasm has one worker of one thread",
      ],
    }
  `);
});

test('leaves out what memory does not suffice for', () => {
  expect(shortly({ batches: [8, 100_000] }, 1)).toEqual({
    names: ['forward 8 cpu on 1: 1×1'],
    skipped: ['forward with a batch of 100000 needs some 100 GB of memory, there are 1.00 GB'],
  });
});
