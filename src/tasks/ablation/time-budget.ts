/** @file A budget of wall time, turned into steps once and for all: training then depends on no clock. */
import { join } from 'node:path';
import type { TrainConfig } from '../training/config/train-config.ts';
import { measurePace, type PaceOptions } from '../training/run/pace.ts';
import type { Variant } from './grid.ts';
import { readRecord, writeRecord } from './record.ts';

/** The measurement takes this share of the budget, within bounds: enough for the pace to settle. */
const MEASURED_SHARE = 0.05;
const SHORTEST_MS = 2000;
const LONGEST_MS = 30_000;

/**
 * How many steps of a variant fit into `minutes`: found by training it for a moment in a folder that is thrown away, and
 * kept in the ablation's folder, so that an ablation that goes on has the same number.
 */
export async function stepsInTime(
  folder: string,
  variant: Variant,
  minutes: number,
  config: TrainConfig,
  options: PaceOptions,
): Promise<number> {
  const path = join(folder, 'cells', variant.folder, 'pace.json');
  const known = await readRecord(path);
  if (known?.minutes === minutes) return Number(known.steps);
  const stopAfterMs = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, minutes * 60_000 * MEASURED_SHARE));
  const pace = join(folder, 'cells', variant.folder, 'pace');
  const imagesPerSecond = await measurePace(config, pace, stopAfterMs, options);
  const { batchSize } = config.training;
  const steps = Math.max(1, Math.round((minutes * 60 * imagesPerSecond) / batchSize));
  await writeRecord(path, { minutes, imagesPerSecond, steps });
  return steps;
}
