/** @file `udit plot`: a measurement of one or several runs against steps, as SVG and PNG. */
import { dirname, resolve, sep } from 'node:path';
import { type Command, Option } from 'commander';
import { drawChart, type Series } from '../charts/chart.ts';
import { writeDrawing } from '../charts/png-node.ts';
import { ConfigError } from '../core/errors.ts';
import { makeFolder } from '../host/files/make-folder-node.ts';
import { type CurveAxis, readScoredCurve } from '../tasks/training/run/curve.ts';
import { drawingFormats, drawingPaths, stemOf } from './drawing-file.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import type { Terminal } from './terminal.ts';

interface PlotFlags {
  readonly metric: string;
  readonly x: CurveAxis;
  readonly log?: true;
  readonly out: string;
  readonly title?: string;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  npx udit plot runs/mine                              held-out loss against steps
  npx udit plot runs/a runs/b --metric loss --log      the training loss of two runs
  npx udit plot ablations/*/cells/u-dit-t/* --x nimg   the seeds of one row of an ablation
`;

const AXIS_LABELS: Readonly<Record<CurveAxis, string>> = { step: 'steps', nimg: 'pictures seen' };
/** Measurements of stats.jsonl as people call them. */
const METRIC_LABELS: Readonly<Record<string, string>> = {
  heldOutLoss: 'held-out loss',
  loss: 'training loss',
  gradientNorm: 'norm of the gradient',
  learningRate: 'learning rate',
  imagesPerSecond: 'images per second',
  swd: 'SWD',
  fid: 'FID',
  sfid: 'sFID',
  kid: 'KID',
  mind: 'MIND',
};

export function definePlot(command: Command, terminal: Terminal): void {
  command
    .argument('<runs...>', 'run folders, or their stats.jsonl')
    .option('--metric <name>', 'heldOutLoss, loss or any other of stats.jsonl', 'heldOutLoss')
    .addOption(new Option('--x <axis>', 'steps, or pictures seen').choices(['step', 'nimg']).default('step'))
    .option('--log', 'logarithmic axis of the measurement')
    .option('--title <text>', 'title of the chart (default: the measurement)')
    .option('--out <file>', 'file name; without .svg or .png both are written', 'plot')
    .option('--json', 'print the points as JSON')
    .addHelpText('after', EXAMPLES)
    .action((runs: string[], flags: PlotFlags) => plot(runs, flags, terminal));
}

async function plot(
  runs: readonly string[],
  { metric, x, log, out, title, json }: PlotFlags,
  terminal: Terminal,
): Promise<void> {
  const formats = drawingFormats('--out', out);
  await expectHarmlessOutputs('--out', drawingPaths(out, formats), runs);
  const names = shortestNames(runs);
  const series: Series[] = [];
  const ways = new Map<string, string>();
  // One after another, so that of several bad ones the first is named.
  for (const [i, run] of runs.entries()) {
    const { points, provenance } = await readScoredCurve(run, metric, x);
    for (const way of provenance) ways.set(way, names[i]!);
    if (ways.size > 1) throw differentScores(metric, [...ways]);
    series.push({ name: names[i]!, points });
  }
  if (log === true) expectPositive(series);
  const label = METRIC_LABELS[metric] ?? metric;
  const panel = {
    kind: 'lines',
    x: { label: AXIS_LABELS[x] },
    y: { label, log: log === true },
    series,
  } as const;
  const svg = drawChart(title ?? `${label} against ${AXIS_LABELS[x]}`, [panel]);
  await makeFolder(dirname(resolve(out)), { Failure: ConfigError, fix: 'choose another place with --out' });
  const written = await writeDrawing(stemOf(resolve(out)), svg, formats);
  terminal.out.write(
    json === true
      ? `${JSON.stringify({ metric, x, series, files: written })}\n`
      : written.map((path) => `drawn in ${path}\n`).join(''),
  );
}

/** Scores of other pictures, counts or settings are no points of one chart. */
function differentScores(metric: string, ways: readonly (readonly [string, string])[]): ConfigError {
  const [[first, run], [second, other]] = ways as [[string, string], [string, string]];
  return new ConfigError({
    where: other,
    problem: `its ${metric} was measured in another way than that of ${run}: ${second}, not ${first}`,
    fix: 'draw them apart, or score checkpoints of both with udit evaluate',
  });
}

function expectPositive(series: readonly Series[]): void {
  for (const { name, points } of series) {
    const low = points.find(({ y }) => y <= 0);
    if (low === undefined) continue;
    throw new ConfigError({
      where: '--log',
      problem: `${name} has the value ${low.y}, which has no place on a logarithmic axis`,
      fix: 'leave --log out',
    });
  }
}

/** The last parts of each path, as few as tell all of them apart. */
export function shortestNames(paths: readonly string[]): string[] {
  const parts = paths.map((path) => resolve(path).split(sep));
  const longest = Math.max(...parts.map(({ length }) => length));
  for (let count = 1; count < longest; count++) {
    const names = parts.map((path) => path.slice(-count).join('/'));
    if (new Set(names).size === names.length) return names;
  }
  return [...paths];
}
