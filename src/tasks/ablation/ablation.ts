/**
 * @file Runs a grid: cell after cell is trained, measured and put into the table. What is finished is recognised, what
 * was begun goes on, so that the same call can be interrupted and repeated.
 */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { ConfigError } from '../../core/errors.ts';
import { type ImageSize, parseImageSize } from '../../core/image-size.ts';
import type { DataConfig } from '../../data/datasets/data-config.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import { type LockHolder, withLock } from '../../host/files/lock-file-node.ts';
import { makeFolder } from '../../host/files/make-folder-node.ts';
import { expectImagesFit } from '../sampling/enough-memory-node.ts';
import { modelOfConfig } from '../training/config/model-for-data.ts';
import type { TrainConfig } from '../training/config/train-config.ts';
import { defaultsOfRun } from '../training/run/run-config.ts';
import { learningOf } from '../training/run/trainee.ts';
import { expectEnoughMemory } from '../training/run/training-memory.ts';
import { planTraining } from '../training/run/training-session.ts';
import { type Cell, cellFolder, readMetrics } from './cell.ts';
import { completeCell, type OpenScores } from './complete-cell.ts';
import { stepsWithin, type VariantCost, variantCost } from './cost.ts';
import { type CellMetrics, expectTiles } from './evaluate.ts';
import { cellConfig, type Grid, inVariant, type Variant } from './grid.ts';
import { writeReport } from './report.ts';
import { type VariantResult, variantResult } from './results.ts';
import { stepsInTime } from './time-budget.ts';

export interface AblationOptions {
  readonly grid: Grid;
  /** The grid's file, as the user named it. */
  readonly gridPath: string;
  readonly folder: string;
  readonly backend: Backend;
  readonly threads: number;
  readonly version: string;
  readonly signal: AbortSignal;
  readonly observer: AblationObserver;
  readonly openScores?: OpenScores | undefined;
}

export interface AblationObserver {
  onPreparing(done: number, total: number): void;
  /** A cell begins, or goes on; `number` counts from 1, finished cells included. */
  onCell(cell: Cell, number: number, count: number): void;
  /** Work of all cells in multiply-accumulates, that of finished ones included. */
  onProgress(done: number, total: number, note: string): void;
  onMetrics(cell: Cell, metrics: CellMetrics): void;
  onWarning(message: string): void;
}

/** A row before it is trained. */
export interface PlannedVariant {
  readonly variant: Variant;
  readonly cost: VariantCost;
  /** Undefined where only a measurement can tell. */
  readonly steps: number | undefined;
}

/**
 * What each row costs, without opening the data: with as many classes as the preset if none are stated.
 *
 * @throws ConfigError for a configuration that cannot work
 */
export function planAblation(grid: Grid): PlannedVariant[] {
  const rows = grid.variants.map((variant) => ({
    variant,
    config: cellConfig(grid, variant, { seed: grid.seeds[0]!, steps: 1 }),
  }));
  expectOneReference(rows);
  return rows.map(({ variant, config }) => {
    try {
      const { samples } = grid.evaluation;
      if (samples !== null) {
        const size = drawnSize(config.data);
        expectTiles(size);
        expectImagesFit('evaluation.samples', samples, drawnBytes(size));
      }
      const cost = variantCost(modelOfConfig(config), config, grid.evaluation);
      return { variant, cost, steps: stepsWithin(grid.budget, cost) };
    } catch (cause) {
      throw inVariant(cause, variant);
    }
  });
}

/** Options of data that change what training sees, and no picture that is measured. */
const SEEN_ONLY_IN_TRAINING = ['augment', 'balanceClasses'] as const;

/** @throws ConfigError if two rows would be measured against different pictures, which no table can compare */
function expectOneReference(
  rows: readonly { readonly variant: Variant; readonly config: TrainConfig }[],
): void {
  const [first, ...others] = rows.map(({ variant, config }) => ({
    name: variant.name,
    data: { ...config.data, ...Object.fromEntries(SEEN_ONLY_IN_TRAINING.map((key) => [key, null])) },
  }));
  for (const { name, data } of others) {
    const [key, value] =
      Object.entries(data).find(([key, value]) => !isDeepStrictEqual(value, Reflect.get(first!.data, key))) ??
      [];
    if (key === undefined) continue;
    throw new ConfigError({
      where: `variant "${name}"`,
      problem:
        `its scores would be of other pictures than those of "${first!.name}": ` +
        `data.${key} is ${JSON.stringify(value)}, not ${JSON.stringify(Reflect.get(first!.data, key))}`,
      fix: `set data.${key} in the base, and compare other data in a grid of their own`,
    });
  }
}

function drawnSize({ imageSize, kind }: DataConfig): ImageSize {
  if (imageSize !== null && kind !== 'latents') return parseImageSize(imageSize);
  throw new ConfigError({
    where: 'evaluation.samples',
    problem: 'latents cannot be compared with pictures',
    fix: 'set evaluation.samples to null',
  });
}

/** Of each picture that is compared with the data: all are drawn, and then turned into grey levels. */
function drawnBytes({ height, width }: ImageSize): number {
  const [copies, channels] = [2, 3];
  return copies * channels * height * width * Float32Array.BYTES_PER_ELEMENT;
}

/** Work of one cell, in multiply-accumulates. */
export function cellMacs({ cost }: Pick<PlannedVariant, 'cost'>, steps: number): number {
  return steps * cost.macsPerStep + cost.evaluationMacs;
}

/**
 * @returns the rows of the table, which is written after every cell
 * @throws ConfigError if another process works in the folder
 * @throws the signal's reason when it is aborted; the same call goes on
 */
export async function runAblation(options: AblationOptions): Promise<VariantResult[]> {
  const { folder, signal } = options;
  expectPossible(options);
  await makeFolder(folder, { Failure: ConfigError, fix: 'choose a writable folder with --out' });
  const onWait = ({ processId }: LockHolder) => {
    throw new ConfigError({
      where: folder,
      problem: `process ${processId} works on this ablation`,
      fix: 'wait until it has ended, or choose another folder with --out',
    });
  };
  const lock = { signal, onWait, Failure: ConfigError };
  return withLock(join(folder, 'ablation.lock'), lock, () => completeAblation(options));
}

/** Refuses what cannot work before anything is written. */
function expectPossible({ grid, backend }: AblationOptions): void {
  for (const { variant } of planAblation(grid)) {
    try {
      const config = cellConfig(grid, variant, { seed: grid.seeds[0]!, steps: 1 });
      expectEnoughMemory(learningOf(modelOfConfig(config, 1), config), config, backend.name);
    } catch (cause) {
      throw inVariant(cause, variant);
    }
  }
}

/** {@link runAblation}, alone in its folder. */
async function completeAblation(options: AblationOptions): Promise<VariantResult[]> {
  const { grid, observer, signal } = options;
  const rows: PreparedVariant[] = [];
  for (const variant of grid.variants) rows.push(await prepare(variant, options));
  // Seed after seed, so that the table has every row as early as can be.
  const cells = await Promise.all(
    grid.seeds.flatMap((seed) => rows.map((row) => cellOf(row, seed, options))),
  );
  const workOf = ({ variant }: Cell): number => {
    const row = rows.find((candidate) => candidate.variant === variant)!;
    return cellMacs(row, row.steps);
  };
  const total = cells.reduce((sum, cell) => sum + workOf(cell), 0);
  const metrics = new Map<Cell, CellMetrics>();
  let done = 0;
  for (const [index, cell] of cells.entries()) {
    const known = await readMetrics(cell, grid.evaluation);
    if (known === undefined) {
      signal.throwIfAborted();
      observer.onCell(cell, index + 1, cells.length);
      const report = (share: number, note: string) =>
        observer.onProgress(
          done + share * workOf(cell),
          total,
          `cell ${index + 1} of ${cells.length}, ${note}`,
        );
      const found = await completeCell(cell, grid.evaluation, cellOptions(cell, options, report));
      metrics.set(cell, found);
      observer.onMetrics(cell, found);
    } else {
      metrics.set(cell, known);
    }
    done += workOf(cell);
    await writeReport({
      ...options,
      cells,
      results: resultsOf(rows, metrics),
      finished: [...metrics.keys()],
    });
  }
  return resultsOf(rows, metrics);
}

interface PreparedVariant extends PlannedVariant {
  readonly steps: number;
}

/** The model as the data makes it, and how long it is trained. */
async function prepare(
  variant: Variant,
  { grid, folder, ...options }: AblationOptions,
): Promise<PreparedVariant> {
  const config = cellConfig(grid, variant, { seed: grid.seeds[0]!, steps: 1 });
  const { onWarning } = options.observer;
  const observer = { onWarning };
  try {
    const { trainee } = await planTraining(config, {
      backend: options.backend,
      signal: options.signal,
      observer,
      onPreparing: options.observer.onPreparing,
    });
    const cost = variantCost(trainee.card.spec, config, grid.evaluation);
    const steps =
      stepsWithin(grid.budget, cost) ??
      (await stepsInTime(folder, variant, grid.budget.minutes!, config, { ...options, observer }));
    return { variant, cost, steps };
  } catch (cause) {
    throw inVariant(cause, variant);
  }
}

async function cellOf(
  { variant, steps }: PreparedVariant,
  seed: number,
  { grid, folder }: AblationOptions,
): Promise<Cell> {
  const runPath = cellFolder(folder, variant, seed);
  const config = cellConfig(grid, variant, { seed, steps }, await defaultsOfRun(runPath));
  return { variant, seed, config, runPath };
}

function cellOptions(
  { config }: Cell,
  { backend, threads, version, signal, observer, openScores }: AblationOptions,
  report: (share: number, note: string) => void,
): Parameters<typeof completeCell>[2] {
  const { steps } = config.training;
  return {
    backend,
    threads,
    version,
    signal,
    openScores,
    observer: {
      // Of the rest of a run nothing is passed on: there are too many runs.
      onWarning: observer.onWarning,
      onStep: ({ step, loss }) => report(step / steps, `step ${step} of ${steps} | loss ${loss.toFixed(4)}`),
    },
    onEvaluation: () => report(1, 'measuring'),
  };
}

function resultsOf(
  rows: readonly PreparedVariant[],
  metrics: ReadonlyMap<Cell, CellMetrics>,
): VariantResult[] {
  return rows.map(({ variant, cost, steps }) => {
    const own = [...metrics].filter(([cell]) => cell.variant === variant);
    const cells = own.map(([{ seed }, found]) => ({ seed, metrics: found }));
    return variantResult(variant, cost, steps, cells);
  });
}
