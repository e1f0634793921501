/** @file Results as charts: every metric against cost, and the held-out loss against steps. */
import { drawChart, type Panel } from '../../charts/chart.ts';
import type { Grid } from './grid.ts';
import { METRICS } from './metrics.ts';
import { type MeanCurvePoint, measuredMetrics, type VariantResult } from './results.ts';

/** @returns undefined as long as nothing is measured */
export function drawMetricsVersusMacs(grid: Grid, results: readonly VariantResult[]): string | undefined {
  const metrics = measuredMetrics(results);
  if (metrics.length === 0) return undefined;
  const panels = metrics.map(
    (metric): Panel => ({
      kind: 'points',
      x: { label: 'GMACs of one image' },
      y: { label: METRICS[metric].label },
      series: results.map(({ name, cost, metrics: spreads }) => {
        const spread = spreads[metric];
        if (spread === undefined) return { name, points: [] };
        const { mean, ...deviation } = spread;
        return { name, points: [{ x: cost.macs / 1e9, y: mean, ...deviation }] };
      }),
    }),
  );
  return drawChart(`${grid.name}: cost and quality${seedsInWords(grid)}`, panels);
}

/** The curves of one measurement, by variant. */
export interface MeasurementCurves {
  /** At the axis. */
  readonly label: string;
  readonly curves: ReadonlyMap<string, readonly MeanCurvePoint[]>;
}

/** @returns undefined as long as nothing is measured */
export function drawMetricsVersusSteps(
  grid: Grid,
  measurements: readonly MeasurementCurves[],
): string | undefined {
  const panels = measurements.flatMap(({ label, curves }): Panel[] => {
    const series = [...curves].map(([name, points]) => ({ name, points }));
    const values = series.flatMap(({ points }) => points.map(({ y }) => y));
    if (values.length === 0) return [];
    // The first measurement, before training, is far from all others.
    const y = { label, log: Math.min(...values) > 0 };
    return [{ kind: 'lines', x: { label: 'steps' }, y, series }];
  });
  if (panels.length === 0) return undefined;
  const names = panels.map(({ y }) => y.label).join(', ');
  return drawChart(`${grid.name}: ${names} while training${seedsInWords(grid)}`, panels);
}

function seedsInWords({ seeds }: Grid): string {
  return seeds.length === 1 ? '' : ` (mean ± standard deviation of ${seeds.length} seeds)`;
}
