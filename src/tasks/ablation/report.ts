/** @file The files that people read of an ablation; written anew after every cell. */
import { join } from 'node:path';
import { writeDrawing } from '../../charts/png-node.ts';
import { writeFileAtomic } from '../../host/files/atomic-write-node.ts';
import { readScoredCurve } from '../training/run/curve.ts';
import type { RunObserver } from '../training/run/run-observer.ts';
import type { Cell } from './cell.ts';
import { type CommandPaths, formatCommands } from './commands.ts';
import type { Grid } from './grid.ts';
import { METRICS } from './metrics.ts';
import { drawMetricsVersusMacs, drawMetricsVersusSteps, type MeasurementCurves } from './plots.ts';
import { type MeanCurvePoint, meanCurve, type VariantResult } from './results.ts';
import { formatTable } from './table.ts';

export interface Report extends CommandPaths {
  readonly grid: Grid;
  readonly results: readonly VariantResult[];
  readonly cells: readonly Cell[];
  /** Those of {@link cells} that are finished. */
  readonly finished: readonly Cell[];
  readonly version: string;
  readonly observer: Pick<RunObserver, 'onWarning'>;
}

/** What is written beside the drawings. */
export const TABLE_FILES = ['table.md', 'results.json', 'commands.md'] as const;

export async function writeReport(report: Report): Promise<void> {
  const { grid, results, cells, finished, folder, version, observer } = report;
  const write = (name: (typeof TABLE_FILES)[number], text: string) =>
    writeFileAtomic(join(folder, name), [new TextEncoder().encode(text)]);
  await write('table.md', formatTable(grid, results));
  await write('results.json', `${JSON.stringify({ grid, results }, null, 2)}\n`);
  await write('commands.md', formatCommands(grid, cells, report, version));
  const measured = await measurementCurves(grid, finished);
  const comparable = measured.filter(({ ways }) => ways < 2);
  if (finished.length === cells.length) {
    for (const { label, ways } of measured.filter((curves) => !comparable.includes(curves))) {
      observer.onWarning?.(
        `${label} is not drawn: cells measured it in ${ways} ways, which cannot be compared`,
      );
    }
  }
  const drawings = {
    'metric-vs-macs': drawMetricsVersusMacs(grid, results),
    'metric-vs-steps': drawMetricsVersusSteps(grid, comparable),
  };
  for (const [name, svg] of Object.entries(drawings)) {
    if (svg !== undefined) await writeDrawing(join(folder, name), svg);
  }
}

interface Measured extends MeasurementCurves {
  /** In how many ways the cells measured it. */
  readonly ways: number;
}

/** Of held-out losses, and of scores. */
async function measurementCurves({ variants }: Grid, finished: readonly Cell[]): Promise<Measured[]> {
  const scores = new Set(finished.flatMap(({ config }) => config.logging.scores));
  const measured = [
    {
      label: METRICS.heldOutLoss.label,
      metric: 'heldOutLoss',
      isMeasured: ({ config }: Cell) => config.logging.evaluateEvery !== null,
      // Losses of different objectives cannot be compared.
      wayOf: ({ config }: Cell) => [JSON.stringify(config.objective)],
    },
    ...[...scores].map((score) => ({
      label: score.toUpperCase(),
      metric: score,
      isMeasured: ({ config }: Cell) => config.logging.scores.includes(score),
      wayOf: () => [],
    })),
  ];
  return Promise.all(
    measured.map(async ({ label, metric, isMeasured, wayOf }) => {
      const curves = new Map<string, readonly MeanCurvePoint[]>();
      const ways = new Set<string>();
      for (const variant of variants) {
        const own = finished.filter((cell) => cell.variant === variant && isMeasured(cell));
        const read = await Promise.all(own.map(({ runPath }) => readScoredCurve(runPath, metric, 'step')));
        const told = read.flatMap(({ provenance }) => [...provenance]);
        for (const way of [...own.flatMap(wayOf), ...told]) ways.add(way);
        curves.set(variant.name, meanCurve(read.map(({ points }) => points)));
      }
      return { label, curves, ways: ways.size };
    }),
  );
}
