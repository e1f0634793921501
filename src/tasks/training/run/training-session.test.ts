import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TINY_DIT_LAYERS } from '../../../../test/support/tiny-training.ts';
import { cpuBackend } from '../../../engine/runtime/cpu-node.ts';
import type { Backend, SessionOptions } from '../../../engine/runtime/session.ts';
import { resolveTrainConfig } from '../config/train-config.ts';
import { planTraining, trainInFolder } from './training-session.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit-session-'));
});
afterEach(() => rm(root, { recursive: true }));

/** Two steps in two shards, and the sessions with threads besides the calling one. */
async function trainOn(threads: number) {
  const sessions: SessionOptions[] = [];
  const backend: Backend = {
    ...cpuBackend,
    createSession(model, options) {
      sessions.push(options);
      return cpuBackend.createSession(model, options);
    },
  };
  const [model] = TINY_DIT_LAYERS;
  const config = resolveTrainConfig([
    model!,
    { data: { kind: 'emoji', imageSize: 8, augment: 'none' }, logging: { sampleEvery: null } },
    { training: { steps: 2, batchSize: 4, shards: 2 } },
  ]);
  const signal = new AbortController().signal;
  const plan = await planTraining(config, { backend, signal, observer: {} });
  const { checkpoint } = await trainInFolder(plan, {
    ...{
      config,
      runPath: join(root, `${threads}`),
      version: '1.2.3',
      backend,
      threads,
      signal,
      observer: {},
    },
  });
  const besides = sessions.filter(({ workers }) => workers !== undefined);
  return { bytes: await readFile(checkpoint), besides };
}

test('no more threads compute than are asked for, with the same result', async () => {
  const [one, two] = [await trainOn(1), await trainOn(2)];
  // All compute in the calling thread, one after the other.
  expect(one.besides).toEqual([]);
  // The shards and, when they rest, the held-out loss.
  const alone = expect.objectContaining({ threads: 1, workers: 1 });
  expect(two.besides).toEqual([alone, alone, alone]);
  expect(one.bytes.equals(two.bytes)).toBe(true);
});
