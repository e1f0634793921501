/** @file `udit ablate`: trains the variants of a grid with several seeds, and compares them. */
import { basename, join } from 'node:path';
import type { Command } from 'commander';
import { version } from '../core/version-node.ts';
import { openDevice } from '../engine/runtime/devices-node.ts';
import { physicalCores } from '../host/machine/physical-cores-node.ts';
import { planAblation, runAblation } from '../tasks/ablation/ablation.ts';
import { parseGrid } from '../tasks/ablation/grid.ts';
import { TABLE_FILES } from '../tasks/ablation/report.ts';
import { formatTable } from '../tasks/ablation/table.ts';
import { describeGrid, watchAblation } from './ablate-report.ts';
import { readJsonObject } from './config-arguments.ts';
import { type DeviceFlag, deviceOption } from './device-flag.ts';
import { interruptible } from './failures.ts';
import { threadCount } from './flags.ts';
import { expectHarmlessOutputs } from './output-guard.ts';
import type { Terminal } from './terminal.ts';
import { openTrainingScores } from './training-scores.ts';

interface AblateFlags extends DeviceFlag {
  readonly out?: string;
  readonly threads?: number;
  readonly dryRun?: true;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  npx udit ablate recipes/laptop-table-1.json --dry-run   its cells and their cost
  npx udit ablate recipes/laptop-table-1.json             train them; again: continue
  npx udit ablate mine.json --out ablations/mine          a grid of your own (docs/guides/ablations.md)

The folder holds table.md, results.json, metric-vs-macs and metric-vs-steps as .svg and .png, commands.md, and a
run per cell. Ctrl-C stops after writing a checkpoint; the same command continues.
`;

export function defineAblate(command: Command, terminal: Terminal): void {
  command
    .argument('<grid>', 'JSON file: base, variants, axes, seeds, budget, evaluation')
    .option('--out <folder>', 'folder of all files (default: ablations/ and the name of the grid)')
    .addOption(deviceOption())
    .option('--threads <n>', 'CPU threads (default: one per core)', threadCount)
    .option('--dry-run', 'list the cells and their cost, and stop')
    .option('--json', 'print the results as JSON')
    .addHelpText('after', EXAMPLES)
    .action((grid: string, flags: AblateFlags) =>
      interruptible((signal) => ablate(grid, flags, terminal, signal)),
    );
}

async function ablate(
  gridPath: string,
  flags: AblateFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const { $schema: _, ...content } = await readJsonObject(gridPath);
  const grid = parseGrid(content, gridPath, basename(gridPath, '.json'));
  const folder = flags.out ?? join('ablations', grid.name);
  const tables = TABLE_FILES.map((name) => join(folder, name));
  await expectHarmlessOutputs('--out', [folder, ...tables], [gridPath]);
  if (flags.dryRun === true) {
    const planned = planAblation(grid);
    terminal.out.write(
      flags.json === true
        ? `${JSON.stringify({ folder, grid, planned }, null, 2)}\n`
        : describeGrid(grid, planned, folder),
    );
    return;
  }
  const watcher = watchAblation(terminal);
  try {
    const backend = await openDevice(flags.device);
    const threads = flags.threads ?? physicalCores();
    const results = await runAblation({
      grid,
      gridPath,
      folder,
      backend,
      threads,
      version,
      signal,
      observer: watcher.observer,
      openScores: (config, plan) => openTrainingScores(config, plan, { backend, threads, signal }),
    });
    watcher.stop();
    terminal.out.write(
      flags.json === true
        ? `${JSON.stringify({ folder, results }, null, 2)}\n`
        : `${formatTable(grid, results)}\nin ${folder}: table.md, results.json, plots and commands.md\n`,
    );
  } finally {
    watcher.stop();
  }
}
