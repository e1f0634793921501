import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tinyCard, tinySpec } from '../../../../test/support/tiny-checkpoint.ts';
import { tinyConfig } from '../../../../test/support/tiny-training.ts';
import { ConfigError } from '../../../core/errors.ts';
import { createModel } from '../../../networks/registry.ts';
import { TrainState } from '../step/train-state.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import { RunFolder } from './run-folder.ts';
import type { StepReport } from './training-loop.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit-writer-'));
});
afterEach(() => rm(root, { recursive: true }));

const config = tinyConfig({ logging: { ckptEvery: 2, keepLast: 9 }, training: { steps: 5 } });
const state = TrainState.initial(createModel(tinySpec()), 0, config);

let seconds = 0;

/** A writer of a run that goes on after `step`, and what it tells. */
async function writerAfter(step: number, expectHeld: () => Promise<void> = async () => undefined) {
  const written: number[] = [];
  const observer = { onCheckpoint: (at: number) => void written.push(at) };
  const folder = await RunFolder.open(root, { expectHeld });
  const card = (at: number) => tinyCard({ step: at });
  return {
    writer: new CheckpointWriter({ config, folder, state, card, step, observer, clock: () => seconds }),
    written,
  };
}

const reportOf = (step: number) => ({ step }) as StepReport;

test('writes where one is due, at the end of the run, and where a session ends; none twice', async () => {
  const { writer, written } = await writerAfter(0);
  expect(writer.last).toBeUndefined();
  for (const step of [1, 2, 3, 4, 5]) await writer.onStep(reportOf(step));
  await writer.onEnd(5);
  expect(written).toEqual([2, 4, 5]);
  expect(writer.last).toBe(join(root, 'checkpoints', 'step-0000005.safetensors'));
  const next = await writerAfter(5);
  await next.writer.onEnd(5);
  await next.writer.onEnd(6);
  expect(next.written).toEqual([6]);
});

test('writes by the clock too, counted from the last checkpoint', async () => {
  seconds = 0;
  const { writer, written } = await writerAfter(10);
  const stepAt = (step: number, at: number) => {
    seconds = at;
    return writer.onStep(reportOf(step));
  };
  await stepAt(11, 599);
  await stepAt(12, 610);
  await stepAt(13, 1209);
  await stepAt(15, 1210);
  expect(written).toEqual([12, 15]);
});

test('writes nothing where the run is another process’s by now', async () => {
  const lost = new ConfigError({ where: root, problem: 'the lock was taken', fix: 'wait' });
  const { writer, written } = await writerAfter(0, () => Promise.reject(lost));
  await expect(writer.onEnd(3)).rejects.toBe(lost);
  expect(written).toEqual([]);
  expect(await readdir(join(root, 'checkpoints'))).toEqual([]);
});
