/** @file One cell of a grid: a run folder like any other, with what it was found to be worth beside it. */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { isLayer } from '../training/config/config-layer.ts';
import type { TrainConfig } from '../training/config/train-config.ts';
import { withEarlierDefaults } from '../training/run/run-config.ts';
import type { CellMetrics } from './evaluate.ts';
import type { Variant } from './grid.ts';
import type { EvaluationSettings } from './grid-schema.ts';
import { METRIC_NAMES } from './metrics.ts';
import { readRecord, writeRecord } from './record.ts';

export interface Cell {
  readonly variant: Variant;
  readonly seed: number;
  readonly config: TrainConfig;
  /** Its run folder. */
  readonly runPath: string;
}

export function cellFolder(ablation: string, { folder }: Variant, seed: number): string {
  return join(ablation, 'cells', folder, `seed-${seed}`);
}

const RECORD = 'evaluation.json';

/** What the metrics of a cell depend on. Where and how often a run is logged is not part of it. */
function conditions({ config }: Cell, evaluation: EvaluationSettings): unknown {
  const { logging: _, ...training } = config;
  return JSON.parse(JSON.stringify({ training, evaluation }));
}

/** The metrics of a cell that is finished; undefined where it is not, or was trained or measured otherwise. */
export async function readMetrics(
  cell: Cell,
  evaluation: EvaluationSettings,
): Promise<CellMetrics | undefined> {
  const record = await readRecord(join(cell.runPath, RECORD));
  if (record === undefined) return undefined;
  const { metrics } = record;
  const isSame = isDeepStrictEqual(withAllOptions(record.conditions), conditions(cell, evaluation));
  // A metric may be new since then.
  const isWhole = isLayer(metrics) && METRIC_NAMES.every((name) => name in metrics);
  return isSame && isWhole ? (metrics as CellMetrics) : undefined;
}

/** Conditions as they would be recorded today. */
function withAllOptions(recorded: unknown): unknown {
  if (!isLayer(recorded) || !isLayer(recorded.training)) return recorded;
  return { ...recorded, training: withEarlierDefaults(recorded.training) };
}

export async function writeMetrics(
  cell: Cell,
  evaluation: EvaluationSettings,
  metrics: CellMetrics,
): Promise<void> {
  await writeRecord(join(cell.runPath, RECORD), { metrics, conditions: conditions(cell, evaluation) });
}
