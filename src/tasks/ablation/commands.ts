/** @file The commands that make an ablation, and each of its cells, as they can be typed again. */
import { basename, dirname, join } from 'node:path';
import { uditCommand } from '../../core/command.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import type { Cell } from './cell.ts';
import type { Grid } from './grid.ts';

export interface CommandPaths {
  /** As the user named them. */
  readonly gridPath: string;
  readonly folder: string;
  /** What it runs on. */
  readonly backend: Pick<Backend, 'name'>;
}

export function formatCommands(
  grid: Grid,
  cells: readonly Cell[],
  { gridPath, folder, backend }: CommandPaths,
  version: string,
): string {
  const device = backend.name === 'cpu' ? [] : ['--device', backend.name];
  const cellCommands = cells.map(({ variant, seed, runPath }) => {
    const place = ['--results-dir', dirname(runPath), '--name', basename(runPath)];
    const command = uditCommand('train', '--config', join(runPath, 'config.json'), ...place, ...device);
    return `# ${variant.name}, seed ${seed}\n${command}`;
  });
  return `${[
    `# Commands of ${grid.name}`,
    `Made by udit ${version}. The whole table; what is finished is recognised, so the same command goes on after an interruption:`,
    fenced(uditCommand('ablate', gridPath, '--out', folder, ...device)),
    'Each cell is a run like any other. This goes on training it, or says that it is finished:',
    fenced(cellCommands.join('\n')),
    'Drawing from it:',
    fenced(uditCommand('sample', cells[0]!.runPath, ...device)),
  ].join('\n\n')}\n`;
}

function fenced(text: string): string {
  return `\`\`\`sh\n${text}\n\`\`\``;
}
