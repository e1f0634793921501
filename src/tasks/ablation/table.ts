/** @file Results as a Markdown table, with what its columns mean. */
import { formatGiga, formatMillions } from '../../charts/format.ts';
import type { Spread } from '../../metrics/spread.ts';
import type { Grid } from './grid.ts';
import { METRICS, type MetricName } from './metrics.ts';
import { measuredMetrics, type VariantResult } from './results.ts';

const NONE = '–';

export function formatTable(grid: Grid, results: readonly VariantResult[]): string {
  const metrics = measuredMetrics(results);
  const head = ['variant', 'GMACs', 'parameters', 'steps', ...metrics.map((metric) => METRICS[metric].label)];
  const rows = results.map((result) => [
    result.name,
    formatGiga(result.cost.macs),
    `${formatMillions(result.cost.mergedParameters)} M`,
    result.steps?.toLocaleString('en') ?? NONE,
    ...metrics.map((metric) => formatSpread(metric, result.metrics[metric])),
  ]);
  const alignment = head.map((_, column) => (column === 0 ? '---' : '---:'));
  const lines = [head, alignment, ...rows].map((cells) => `| ${cells.map(cellText).join(' | ')} |`);
  return [
    `# ${grid.name}`,
    ...(grid.description === undefined ? [] : [grid.description]),
    lines.join('\n'),
    `${explanation(grid, results, metrics)}\n`,
  ].join('\n\n');
}

/** `0.1790 ± 0.0012`; of a single seed the value alone. */
function formatSpread(metric: MetricName, spread: Spread | undefined): string {
  if (spread === undefined) return NONE;
  const { digits } = METRICS[metric];
  const { mean, deviation } = spread;
  return [mean, ...(deviation === undefined ? [] : [deviation])]
    .map((value) => value.toFixed(digits))
    .join(' ± ');
}

function explanation(
  { seeds, evaluation }: Grid,
  results: readonly VariantResult[],
  metrics: readonly MetricName[],
): string {
  const finished = results.reduce((sum, { cells }) => sum + cells.length, 0);
  const total = results.length * seeds.length;
  const { passes, samples, cfgScale } = evaluation;
  return [
    `${finished} of ${total} cells; mean ± standard deviation over seeds ${seeds.join(', ')}. Averaged (EMA) weights. Less is better.`,
    '',
    '- GMACs and parameters: of one image and of the network as it draws, with parallel kernels merged.',
    ...metrics.map((metric) => `- ${METRICS[metric].label}: ${METRICS[metric].explanation}.`),
    `- Each held-out picture ${passes === 1 ? 'once' : `at ${passes} times`}${samples === null ? '' : `; ${samples} drawn pictures, cfg scale ${cfgScale}`}.`,
  ].join('\n');
}

function cellText(cell: string): string {
  return cell.replaceAll('|', '\\|');
}
