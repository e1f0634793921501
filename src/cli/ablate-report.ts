/** @file What a person sees of an ablation: its cells beforehand, and how far it is. */

import { formatGiga, formatMillions, plural } from '../charts/format.ts';
import type { AblationObserver, PlannedVariant } from '../tasks/ablation/ablation.ts';
import { cellMacs } from '../tasks/ablation/ablation.ts';
import type { Cell } from '../tasks/ablation/cell.ts';
import type { CellMetrics } from '../tasks/ablation/evaluate.ts';
import type { Grid } from '../tasks/ablation/grid.ts';
import { METRIC_NAMES, METRICS } from '../tasks/ablation/metrics.ts';
import { formatTable } from './table.ts';
import { formatSeconds, type Progress, startProgress, type Terminal } from './terminal.ts';
import { preparationProgress } from './train-report.ts';

/** What two cores of an AMD Zen 5 make of the small networks of recipes/, in training (LOG.md). */
const LAPTOP_MACS_PER_SECOND = 40e9;

/** The cells of a grid and what they cost. */
export function describeGrid(grid: Grid, planned: readonly PlannedVariant[], folder: string): string {
  const { seeds, budget, description } = grid;
  const rows = planned.map(({ variant, cost, steps }) => [
    variant.name,
    formatGiga(cost.macs),
    formatMillions(cost.mergedParameters),
    steps?.toLocaleString('en') ?? '?',
    steps === undefined ? '?' : formatTera(steps * cost.macsPerStep),
    formatTera(cost.evaluationMacs),
  ]);
  const head = ['variant', 'GMACs', 'M parameters', 'steps', 'training TMACs', 'drawing TMACs'];
  return [
    ...(description === undefined ? [] : [`${description}\n\n`]),
    `${plural(planned.length * seeds.length, 'cell')}: ${plural(planned.length, 'variant')} × ${plural(seeds.length, 'seed')} (${seeds.join(', ')}), in ${folder}\n\n`,
    formatTable([head, ...rows]),
    `\n${duration(planned, seeds.length, budget.minutes)}`,
  ].join('');
}

function duration(planned: readonly PlannedVariant[], seeds: number, minutes: number | undefined): string {
  if (minutes !== undefined) {
    return `${formatSeconds(minutes * 60 * planned.length * seeds)} of training, and measuring.\n`;
  }
  const total = planned.reduce((sum, row) => sum + seeds * cellMacs(row, row.steps!), 0);
  const time = formatSeconds(total / LAPTOP_MACS_PER_SECOND);
  return `${formatTera(total)} TMACs in all: about ${time} at ${LAPTOP_MACS_PER_SECOND / 1e9} GMACs per second, as two cores of a laptop make.\n`;
}

/** Millions of millions: `38.4`. */
function formatTera(count: number): string {
  return Number((count / 1e12).toPrecision(3)).toLocaleString('en');
}

export interface AblationWatcher {
  readonly observer: AblationObserver;
  stop(): void;
}

export function watchAblation(terminal: Terminal): AblationWatcher {
  const preparing = preparationProgress(terminal);
  let progress: Progress | undefined;
  const pause = () => {
    preparing.stop();
    progress?.stop();
    progress = undefined;
  };
  const say = (line: string) => {
    pause();
    terminal.err.write(`${line}\n`);
  };
  return {
    observer: {
      onPreparing: preparing.update,
      onCell: (cell, number, count) => say(`cell ${number} of ${count}: ${nameOf(cell)}`),
      onProgress: (done, total, note) => {
        // What this session found done says nothing about its pace.
        progress ??= startProgress(terminal, { title: 'ablation', total, from: done });
        progress.update(done, note);
      },
      onMetrics: (cell, metrics) => say(`${nameOf(cell)}: ${describeMetrics(metrics)}`),
      onWarning: (message) => say(`warning: ${message}`),
    },
    stop: pause,
  };
}

function nameOf({ variant, seed }: Cell): string {
  return `${variant.name}, seed ${seed}`;
}

function describeMetrics(metrics: CellMetrics): string {
  const shown = METRIC_NAMES.flatMap((name) => {
    const value = metrics[name];
    return value === null ? [] : [`${METRICS[name].label} ${value.toFixed(METRICS[name].digits)}`];
  });
  return shown.join(', ');
}
