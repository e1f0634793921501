import { writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { countingBackend } from '../../../../test/support/counting-backend.ts';
import { TINY_DIT_LAYERS, tinyConfig, tinySamples } from '../../../../test/support/tiny-training.ts';
import { splitHeldOut } from '../../../data/datasets/split.ts';
import { cpuBackend } from '../../../engine/runtime/cpu-node.ts';
import { withLock } from '../../../host/files/lock-file-node.ts';
import type { ConfigLayer } from '../config/config-layer.ts';
import { resolveTrainConfig } from '../config/train-config.ts';
import { RunFolder } from './run-folder.ts';
import { readStats } from './stats-log.ts';
import { traineeFor } from './trainee.ts';
import { runTraining } from './training-run.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit-run-'));
});
afterEach(() => rm(root, { recursive: true }));

function tinyRun(changes: ConfigLayer, config = tinyConfig(changes)) {
  const samples = tinySamples();
  return { config, data: splitHeldOut(samples, 0.3), trainee: traineeFor(config, samples) };
}

test('where the held-out loss cannot be compiled, the training step is released', async () => {
  const { backend, open, asked } = await countingBackend(2);
  const running = runTraining({
    ...tinyRun({ training: { shards: 1 } }),
    folder: await RunFolder.open(root),
    backend,
    session: {},
    observer: {},
    version: '1.2.3',
    signal: new AbortController().signal,
  });
  await expect(running).rejects.toThrow('model 2 is refused');
  expect([asked(), open()]).toEqual([2, 0]);
});

test('a process whose lock was taken, as while it was suspended, writes no checkpoint any more', async () => {
  const path = join(root, 'training.lock');
  const taken = { processId: 7, host: 'there', space: 'there', start: '42' };
  const training = withLock(path, {}, async (lock) =>
    runTraining({
      ...tinyRun({ training: { shards: 1 }, logging: { ckptEvery: 1 } }),
      folder: await RunFolder.open(root, lock),
      backend: cpuBackend,
      session: {},
      observer: { onCheckpoint: () => writeFileSync(path, JSON.stringify(taken)) },
      version: '1.2.3',
      signal: new AbortController().signal,
    }),
  );
  await expect(training).rejects.toThrow('the lock was taken by process 7 of host there');
  expect(await readdir(join(root, 'checkpoints'))).toEqual(['step-0000001.safetensors']);
});

const tinyDiT = (changes: ConfigLayer) => tinyRun(changes, resolveTrainConfig([...TINY_DIT_LAYERS, changes]));

/** A run whose sessions score samples by turns as the numbers say, and what they are told. */
function scoredRun(scores: readonly number[]) {
  const remaining = [...scores];
  const told: unknown[] = [];
  const session = async (stopAfterStep: number, provenance = 'as ever') =>
    runTraining({
      ...tinyDiT({
        training: { shards: 1, steps: 6 },
        logging: { ckptEvery: 1, keepLast: 1, scores: ['swd'], scoreEvery: 2, keepBest: 'swd' },
      }),
      folder: await RunFolder.open(root),
      ...{ backend: cpuBackend, session: {}, version: '1.2.3', stopAfterStep },
      observer: { onScores: (step, { swd }, isBest) => void told.push([step, swd, isBest]) },
      scoreSamples: async () => ({ scores: { swd: remaining.shift()! }, provenance }),
    });
  return { session, told };
}

const scored = async () =>
  (await readStats(join(root, 'stats.jsonl')))
    .filter((record) => 'swd' in record)
    .map(({ step, swd }) => [step, swd]);
const checkpoints = async () =>
  (await readdir(join(root, 'checkpoints'))).map((name) => Number(name.slice(5, 12)));

test('the checkpoint with the least score is kept, also of an earlier session', async () => {
  const { session, told } = scoredRun([5, 3, 6, 4]);
  await session(5);
  expect(await checkpoints()).toEqual([4, 5]);
  await session(6);
  expect(told).toEqual([
    [2, 5, true],
    [4, 3, true],
    [5, 6, false],
    [6, 4, false],
  ]);
  expect(await scored()).toEqual([
    [2, 5],
    [4, 3],
    [5, 6],
    [6, 4],
  ]);
  expect(await checkpoints()).toEqual([4, 6]);
});

test('scores that were measured in another way do not count against the best', async () => {
  const { session, told } = scoredRun([3, 8, 9]);
  await session(3);
  await session(4, 'otherwise');
  expect(told).toEqual([
    [2, 3, true],
    [3, 8, false],
    [4, 9, true],
  ]);
});

test('the checkpoint at the end of a session may be the best', async () => {
  const { session, told } = scoredRun([5, 2, 7]);
  await session(3);
  await session(4);
  expect(told.at(-1)).toEqual([4, 7, false]);
  expect(await checkpoints()).toEqual([3, 4]);
});

test('a stop during the scores ends the run with its checkpoint', async () => {
  const stop = new AbortController();
  const { step } = await runTraining({
    ...tinyDiT({ training: { shards: 1 }, logging: { scores: ['swd'], scoreEvery: 1 } }),
    folder: await RunFolder.open(root),
    ...{ backend: cpuBackend, session: {}, version: '1.2.3', observer: {}, signal: stop.signal },
    scoreSamples: async () => {
      stop.abort();
      stop.signal.throwIfAborted();
      throw new Error('not heard');
    },
  });
  expect(step).toBe(1);
  expect([await checkpoints(), await scored()]).toEqual([[1], []]);
});
