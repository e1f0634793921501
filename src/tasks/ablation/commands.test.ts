import { expect, test } from 'vitest';
import type { Cell } from './cell.ts';
import { formatCommands } from './commands.ts';
import type { Grid } from './grid.ts';

test('commands name the device that is not the default', () => {
  const cell = { variant: { name: 'one' }, seed: 0, runPath: '/tables/my table/cells/one/seed-0' } as Cell;
  const commandsOn = (name: 'cpu' | 'webgpu') =>
    formatCommands(
      { name: 'grid' } as Grid,
      [cell],
      { gridPath: 'grid.json', folder: '/tables/my table', backend: { name } },
      '1.0.0',
    )
      .split('\n')
      .filter((line) => line.startsWith('npx udit '));
  expect(commandsOn('cpu').join()).not.toContain('--device');
  expect(commandsOn('webgpu')).toEqual([
    'npx udit ablate grid.json --out "/tables/my table" --device webgpu',
    'npx udit train --config "/tables/my table/cells/one/seed-0/config.json" --results-dir "/tables/my table/cells/one" --name seed-0 --device webgpu',
    'npx udit sample "/tables/my table/cells/one/seed-0" --device webgpu',
  ]);
});
