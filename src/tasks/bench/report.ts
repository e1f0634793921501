/** @file From seconds and bytes to tables and JSON. */
import type { ContestResult, Layout, Measurement, RivalMeasurement } from './contest.ts';
import type { Contest } from './plan.ts';
import { formatShares } from './profile.ts';

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** What one of our workloads takes of what a rival takes in the same turns: below 1 is better. */
export interface Ratio {
  readonly time: number;
  readonly memory: number;
}

export function ratios(ours: readonly Measurement[], rival: RivalMeasurement): Ratio[] {
  return ours.map(({ memory }, i) => ({
    time: median(rival.ourSeconds[i]!) / median(rival.seconds),
    memory: memory.totalMb / rival.memory.totalMb,
  }));
}

/** What is known of a measurement, whatever it is shown as. */
export function figuresOf(measurement: Measurement, { batch }: Contest, macsPerImage?: number) {
  const { seconds, memory, loadSeconds, error, productGflops } = measurement;
  const medianSeconds = median(seconds);
  const gflops = macsPerImage && (2 * macsPerImage * batch) / medianSeconds / 1e9;
  return {
    medianSeconds,
    minSeconds: Math.min(...seconds),
    secondsPerImage: medianSeconds / batch,
    imagesPerSecond: batch / medianSeconds,
    ...(gflops === undefined ? {} : { gflops }),
    ...(gflops === undefined || productGflops === undefined
      ? {}
      : { productGflops, shareOfProductSpeed: gflops / productGflops }),
    peakMemoryMb: memory.totalMb,
    peakMemoryPerProcessMb: memory.largestMb,
    ...(loadSeconds === undefined ? {} : { coldLoadSeconds: loadSeconds.cold }),
    ...(error === undefined ? {} : { error }),
    ...(loadSeconds?.warm === undefined ? {} : { warmLoadSeconds: loadSeconds.warm }),
  };
}

type Figures = ReturnType<typeof figuresOf>;
type Cell = (figures: Readonly<Record<string, number>>) => string;

const fixed =
  (key: string, digits: number): Cell =>
  ({ [key]: value }) =>
    value?.toFixed(digits) ?? '';

/** A column without a single value is left out. */
const COLUMNS: readonly (readonly [title: string, cell: Cell])[] = [
  ['median s', fixed('medianSeconds', 3)],
  ['min s', fixed('minSeconds', 3)],
  ['s/image', fixed('secondsPerImage', 3)],
  ['images/s', fixed('imagesPerSecond', 2)],
  ['GFLOP/s', fixed('gflops', 0)],
  [
    'of products alone',
    ({ shareOfProductSpeed: share }) => (share === undefined ? '' : `${Math.round(100 * share)} %`),
  ],
  ['peak MB', fixed('peakMemoryMb', 0)],
  ['per process', fixed('peakMemoryPerProcessMb', 0)],
  ['cold load s', fixed('coldLoadSeconds', 2)],
  ['warm load s', fixed('warmLoadSeconds', 2)],
  ['error', ({ error }) => error?.toExponential(1) ?? ''],
];

export const formatCores = (count: number): string => (count === 1 ? '1 core' : `${count} cores`);

/** Which contest it is. */
export function contestTitle({ task, batch, device, cores }: Contest): string {
  return `${task}, batch ${batch}, ${device}, ${formatCores(cores)}`;
}

const layoutOf = ({ workers, threads }: Layout): string => `${workers}×${threads}`;

/** A table of what was measured, one of ratios where there are rivals, and below them versions and notes. */
export function formatContest({ contest, ours, rivals, macsPerImage, notes }: ContestResult): string {
  const measurements = [...ours, ...rivals];
  const figures = measurements.map(
    (measurement) => figuresOf(measurement, contest, macsPerImage) as Figures & Record<string, number>,
  );
  const columns = COLUMNS.filter(([, cell]) => figures.some((each) => cell(each) !== ''));
  const rows = measurements.map((measurement, i) => [
    measurement.name,
    layoutOf(measurement),
    measurement.precision,
    ...columns.map(([, cell]) => cell(figures[i]!)),
  ]);
  return [
    contestTitle(contest),
    ...alignedRows([['', 'workers×threads', 'precision', ...columns.map(([title]) => title)], ...rows]),
    ...(rivals.length === 0 ? [] : ['', ...ratioRows(ours, rivals)]),
    '',
    ...new Set(measurements.map(introductionLine)),
    ...ours.flatMap(operationsLine),
    ...notes.map((note) => `  ${note}`),
  ].join('\n');
}

function ratioRows(ours: readonly Measurement[], rivals: readonly RivalMeasurement[]): string[] {
  const labels = ours.map((each) => `udit ${layoutOf(each)} ${each.precision}`);
  const rows = rivals.map((rival) => [
    rival.name,
    ...ratios(ours, rival).map(({ time, memory }) => `${time.toFixed(3)} (${memory.toFixed(2)})`),
  ]);
  return alignedRows([['our time (memory) / theirs', ...labels], ...rows]);
}

function introductionLine({ name, introduction }: Measurement): string {
  const facts = Object.entries(introduction).map(([key, value]) => `${key} ${value}`);
  return `  ${name}: ${facts.join(', ')}`;
}

function operationsLine(measurement: Measurement): string[] {
  if (measurement.operations === undefined) return [];
  const { name, precision, operations } = measurement;
  return [`  ${name} ${layoutOf(measurement)} ${precision}: ${formatShares(operations)}`];
}

/** Two-space columns, the first aligned left, numbers right. */
function alignedRows(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => {
    const cells = row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)));
    return `  ${cells.join('  ')}`.trimEnd();
  });
}

/** One result as plain data; ratios are by rival and then by our measurement, in the order of the lists. */
export function contestAsData({ contest, ours, rivals, macsPerImage, notes }: ContestResult) {
  const { task, batch, device, cores } = contest;
  const row = (measurement: Measurement) => {
    const { name, workers, threads, precision, introduction: versions, seconds, operations } = measurement;
    return {
      ...{
        name,
        workers,
        threads,
        precision,
        versions,
        ...figuresOf(measurement, contest, macsPerImage),
        seconds,
      },
      ...(operations === undefined ? {} : { operations: Object.fromEntries(operations) }),
    };
  };
  return {
    task,
    batch,
    device,
    cores,
    ours: ours.map(row),
    rivals: rivals.map((rival) => ({ ...row(rival), ourRatios: ratios(ours, rival) })),
    notes,
  };
}
