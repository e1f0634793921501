import { writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { countingBackend } from '../../../../test/support/counting-backend.ts';
import { tinyConfig, tinySamples } from '../../../../test/support/tiny-training.ts';
import { splitHeldOut } from '../../../data/datasets/split.ts';
import { cpuBackend } from '../../../engine/runtime/cpu-node.ts';
import { withLock } from '../../../host/files/lock-file-node.ts';
import type { ConfigLayer } from '../config/config-layer.ts';
import { RunFolder } from './run-folder.ts';
import { traineeFor } from './trainee.ts';
import { runTraining } from './training-run.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit-run-'));
});
afterEach(() => rm(root, { recursive: true }));

function tinyRun(changes: ConfigLayer) {
  const config = tinyConfig(changes);
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
