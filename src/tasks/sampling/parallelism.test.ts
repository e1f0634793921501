import { expect, test } from 'vitest';
import { chooseParallelism } from './parallelism.ts';

const machine = { cores: 8, freeBytes: 8e9, workerBytes: 1e8 };

test.each([
  ['a worker per core', { batchCount: 100 }, { workers: 8, threads: 1 }],
  [
    'no more than there are batches, the cores shared among them',
    { batchCount: 3 },
    { workers: 3, threads: 2 },
  ],
  ['one image: all threads in one session', { batchCount: 1 }, { workers: 1, threads: 8 }],
  ['no more than memory suffices for', { batchCount: 100, workerBytes: 3e9 }, { workers: 2, threads: 4 }],
  [
    'one even where memory does not suffice',
    { batchCount: 9, workerBytes: 1e10 },
    { workers: 1, threads: 8 },
  ],
  ['workers as asked for have one thread', { batchCount: 9, workers: 3 }, { workers: 3, threads: 1 }],
  [
    'no more than there are batches, though asked for',
    { batchCount: 1, workers: 99 },
    { workers: 1, threads: 1 },
  ],
  [
    'no more than memory suffices for, though asked for',
    { batchCount: 100, workers: 9, workerBytes: 3e9 },
    { workers: 2, threads: 1 },
  ],
  [
    'no more than two per core, though asked for',
    { batchCount: 999, workers: 99 },
    { workers: 16, threads: 1 },
  ],
  [
    'no more than a process has address space for',
    { batchCount: 999, cores: 192, freeBytes: 1e12 },
    { workers: 64, threads: 3 },
  ],
  ['threads as asked for leave fewer workers', { batchCount: 100, threads: 3 }, { workers: 2, threads: 3 }],
  ['more threads than cores', { batchCount: 100, threads: 12 }, { workers: 1, threads: 12 }],
  ['both as asked for', { batchCount: 99, workers: 12, threads: 2 }, { workers: 12, threads: 2 }],
])('%s', (_, request, expected) => {
  expect(chooseParallelism({ ...machine, ...request })).toEqual(expected);
});
