import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { countingBackend } from '../../../../test/support/counting-backend.ts';
import { tinyConfig, tinySamples } from '../../../../test/support/tiny-training.ts';
import { splitHeldOut } from '../../../data/datasets/split.ts';
import { RunFolder } from './run-folder.ts';
import { runTraining } from './training-run.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit-run-'));
});
afterEach(() => rm(root, { recursive: true }));

test('where the held-out loss cannot be compiled, the training step is released', async () => {
  const { backend, open, asked } = await countingBackend(2);
  const running = runTraining({
    config: tinyConfig({ training: { shards: 1 } }),
    folder: await RunFolder.open(root),
    data: splitHeldOut(tinySamples(), 0.3),
    backend,
    session: {},
    observer: {},
    version: '1.2.3',
    signal: new AbortController().signal,
  });
  await expect(running).rejects.toThrow('model 2 is refused');
  expect([asked(), open()]).toEqual([2, 0]);
});
