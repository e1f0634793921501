/** @file From seconds and bytes to a table of ratios. */
import type { Introduction } from './contestant.ts';
import type { Task } from './options.ts';

export interface Measurement {
  readonly name: string;
  /** One entry per timed iteration. */
  readonly seconds: readonly number[];
  /** Largest resident set, in 10^6 bytes. */
  readonly peakMemoryMb: number;
  readonly introduction: Introduction;
}

export interface TaskReport {
  readonly task: Task;
  /** This package first. */
  readonly measurements: readonly Measurement[];
  /** Why there is no peer, where there is none. */
  readonly noPeer?: string;
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** What this package takes of what a peer takes: below 1 is better. */
export function ratios(
  ours: Measurement,
  peer: Measurement,
): { readonly time: number; readonly memory: number } {
  return {
    time: median(ours.seconds) / median(peer.seconds),
    memory: ours.peakMemoryMb / peer.peakMemoryMb,
  };
}

const COLUMNS = ['', 'median s', 'min s', 'peak MB', 'our time /', 'our memory /'];

export function formatReport({ task, measurements, noPeer }: TaskReport): string {
  const ours = measurements[0]!;
  const rows = measurements.map((measurement) => {
    const { time, memory } = ratios(ours, measurement);
    return [
      measurement.name,
      median(measurement.seconds).toFixed(3),
      Math.min(...measurement.seconds).toFixed(3),
      measurement.peakMemoryMb.toFixed(0),
      measurement === ours ? '' : time.toFixed(3),
      measurement === ours ? '' : memory.toFixed(3),
    ];
  });
  const introductions = measurements.map(({ name, introduction }) => {
    const facts = Object.entries(introduction).map(([key, value]) => `${key} ${value}`);
    return `  ${name}: ${facts.join(', ')}`;
  });
  const note = noPeer === undefined ? [] : [`  no ratio: ${noPeer}`];
  return [task, ...alignedRows([COLUMNS, ...rows]), ...introductions, ...note].join('\n');
}

/** Two-space columns, the first aligned left, numbers right. */
function alignedRows(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => {
    const cells = row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)));
    return `  ${cells.join('  ')}`.trimEnd();
  });
}
