/** @file A budget of wall time, turned into steps once and for all: training then depends on no clock. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TrainConfig } from '../training/config/train-config.ts';
import { planTraining, type SessionOptions, trainInFolder } from '../training/run/training-session.ts';
import type { Variant } from './grid.ts';
import { readRecord, writeRecord } from './record.ts';

/** The measurement takes this share of the budget, within bounds: enough for the pace to settle. */
const MEASURED_SHARE = 0.05;
const SHORTEST_MS = 2000;
const LONGEST_MS = 30_000;

type MeasurementOptions = Pick<SessionOptions, 'backend' | 'threads' | 'version' | 'signal' | 'observer'>;

/**
 * How many steps of a variant fit into `minutes`: found by training it for a moment in a folder that is thrown away, and
 * kept in the ablation's folder, so that an ablation that goes on has the same number.
 */
export async function stepsInTime(
  folder: string,
  variant: Variant,
  minutes: number,
  config: TrainConfig,
  options: MeasurementOptions,
): Promise<number> {
  const path = join(folder, 'cells', variant.folder, 'pace.json');
  const known = await readRecord(path);
  if (known?.minutes === minutes) return Number(known.steps);
  const runPath = join(folder, 'cells', variant.folder, 'pace');
  const { batchSize } = config.training;
  let imagesPerSecond = 0;
  const observer = {
    ...options.observer,
    onStep: (report: { readonly imagesPerSecond: number }) => {
      imagesPerSecond = report.imagesPerSecond;
    },
  };
  const stopAfterMs = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, minutes * 60_000 * MEASURED_SHARE));
  const silent = { ...config, logging: { ...config.logging, evaluateEvery: null, sampleEvery: null } };
  const trial = { ...silent, training: { ...config.training, steps: Number.MAX_SAFE_INTEGER } };
  await rm(runPath, { recursive: true, force: true });
  const plan = await planTraining(trial, { ...options, observer });
  await trainInFolder(plan, { ...options, config: trial, runPath, observer, stopAfterMs });
  await rm(runPath, { recursive: true, force: true });
  options.signal?.throwIfAborted();
  const steps = Math.max(1, Math.round((minutes * 60 * imagesPerSecond) / batchSize));
  await writeRecord(path, { minutes, imagesPerSecond, steps });
  return steps;
}
