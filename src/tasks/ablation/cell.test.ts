import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tinyConfig } from '../../../test/support/tiny-training.ts';
import { layerOf } from '../training/config/config-layer.ts';
import { type Cell, readMetrics, writeMetrics } from './cell.ts';

const EVALUATION = { passes: 1, samples: null, cfgScale: 1 };
const METRICS = { heldOutLoss: 0.5, boundBits: 4, swd: null, frechet: null };

let runPath: string;
beforeEach(async () => {
  runPath = await mkdtemp(join(tmpdir(), 'udit-cell-'));
});
afterEach(() => rm(runPath, { recursive: true }));

const cellWith = (key: string, value: unknown): Cell => ({
  variant: { name: 'tiny', folder: 'tiny', layer: {} },
  seed: 0,
  config: tinyConfig(layerOf(key, value)),
  runPath,
});

test('metrics are those of a cell only if it was trained and measured as the grid says', async () => {
  const cell = cellWith('data.background', 'white');
  expect(await readMetrics(cell, EVALUATION)).toBeUndefined();
  await writeMetrics(cell, EVALUATION, METRICS);
  expect(await readMetrics(cell, EVALUATION)).toEqual(METRICS);
  expect(await readMetrics(cellWith('logging.ckptEvery', 7), EVALUATION)).toEqual(METRICS);
  expect(await readMetrics(cellWith('data.background', 'drop'), EVALUATION)).toBeUndefined();
  expect(await readMetrics(cell, { ...EVALUATION, passes: 2 })).toBeUndefined();
});

test('metrics of a version that had fewer options are those of a cell without them', async () => {
  await writeMetrics(cellWith('data.background', 'drop'), EVALUATION, METRICS);
  const path = join(runPath, 'evaluation.json');
  const record = JSON.parse(await readFile(path, 'utf8'));
  delete record.conditions.training.data.background;
  await writeFile(path, JSON.stringify(record));
  expect(await readMetrics(cellWith('data.background', 'drop'), EVALUATION)).toEqual(METRICS);
  expect(await readMetrics(cellWith('data.background', 'white'), EVALUATION)).toBeUndefined();
});

test('a cell whose record lacks a metric is measured again', async () => {
  const cell = cellWith('data.background', 'white');
  const { swd: _, ...fewer } = METRICS;
  await writeMetrics(cell, EVALUATION, fewer as typeof METRICS);
  expect(await readMetrics(cell, EVALUATION)).toBeUndefined();
});
