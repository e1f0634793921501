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

/** @param curves - of each variant, over its finished cells */
export function drawMetricVersusSteps(
  grid: Grid,
  curves: ReadonlyMap<string, readonly MeanCurvePoint[]>,
): string | undefined {
  const series = [...curves].map(([name, points]) => ({ name, points }));
  const values = series.flatMap(({ points }) => points.map(({ y }) => y));
  if (values.length === 0) return undefined;
  const panel: Panel = {
    kind: 'lines',
    x: { label: 'steps' },
    // The first measurement, before training, is far from all others.
    y: { label: METRICS.heldOutLoss.label, log: Math.min(...values) > 0 },
    series,
  };
  return drawChart(`${grid.name}: held-out loss while training${seedsInWords(grid)}`, [panel]);
}

function seedsInWords({ seeds }: Grid): string {
  return seeds.length === 1 ? '' : ` (mean ± standard deviation of ${seeds.length} seeds)`;
}
