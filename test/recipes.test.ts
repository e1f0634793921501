/** @file Every recipe is a grid whose models can be built; those for laptops cost what they say. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createModel } from '../src/networks/registry.ts';
import { cellMacs, planAblation } from '../src/tasks/ablation/ablation.ts';
import { cellConfig, type Grid, parseGrid } from '../src/tasks/ablation/grid.ts';
import { modelOfConfig } from '../src/tasks/training/config/model-for-data.ts';
import { commandProblem } from './support/command-check.ts';
import { REPOSITORY, shownCommands } from './support/documents.ts';

const RECIPES = readdirSync(join(REPOSITORY, 'recipes'))
  .filter((name) => name.endsWith('.json'))
  .map((name) => name.replace('.json', ''));

function recipe(name: string): Grid {
  const text = readFileSync(join(REPOSITORY, 'recipes', `${name}.json`), 'utf8');
  return parseGrid(JSON.parse(text), `${name}.json`, name);
}

test('there is one for every table that compares trained models, and for the first figure', () => {
  const tables = [1, 2, 3, 4, 5, 6, 7, 9, 10].map((table) => `paper-table-${table}`);
  const small = ['laptop-figure-1', ...[1, 7, 9].map((table) => `laptop-table-${table}`)];
  expect(RECIPES.sort()).toEqual([...tables, ...small].sort());
});

describe.each(RECIPES)('%s', (name) => {
  const grid = recipe(name);

  test('says what it is, what to expect and what it takes', () => {
    const { description = '' } = grid;
    expect(description).toMatch(/Table \d/);
    expect(description).toMatch(/\d+\.\d\d/);
    expect(description).toMatch(name.startsWith('paper') ? /latents.* recipes\/README\.md/ : /minutes/);
  });

  test.each(grid.variants)('$name: its model can be built', (variant) => {
    const config = cellConfig(grid, variant, { seed: 0, steps: grid.budget.steps! });
    const side = name === 'paper-table-6' ? 64 : 32;
    expect(createModel(modelOfConfig(config)).config.inputSize).toBe(config.data.imageSize ?? side);
    if (config.data.kind === 'folder') expect(config.data.background).toBe('drop');
  });
});

describe.each(RECIPES.filter((name) => name.startsWith('laptop')))('%s', (name) => {
  const grid = recipe(name);
  const planned = planAblation(grid);
  const macsOf = (row: string) => planned.find(({ variant }) => variant.name.includes(row))!.cost.macs;

  test('ends within two hours on two cores', () => {
    // Measured: 29 to 62 GMACs per second in training (LOG.md).
    const total = planned.reduce((sum, row) => sum + grid.seeds.length * cellMacs(row, row.steps!), 0);
    expect(grid.seeds.length).toBeGreaterThanOrEqual(2);
    expect(total / 40e9 / 3600).toBeLessThan(2);
  });

  test('has networks of about a fifth of the toy models', () => {
    const base = name === 'laptop-table-7' ? 'shortcut' : 'U-DiT-T';
    expect(macsOf(base) / 0.914e9).toBeGreaterThan(0.18);
    expect(macsOf(base) / 0.914e9).toBeLessThan(0.23);
  });

  test.skipIf(name === 'laptop-table-7')('has a Slim model that costs what U-DiT-T does', () => {
    expect(Math.abs(macsOf('Slim') / macsOf('U-DiT-T') - 1)).toBeLessThan(0.02);
  });
});

describe.each(RECIPES.filter((name) => name.startsWith('paper')))('%s', (name) => {
  const { evaluation, variants, seeds } = recipe(name);
  const [shown] = shownCommands().filter(
    ({ document, command }) =>
      document === 'recipes/README.md' && command.includes(`ablations/${name}/cells/`),
  );

  test('has its command of scores, of one of its cells and with its guidance', () => {
    const words = shown!.command.split(' ');
    const cell = words.find((word) => word.startsWith('ablations/'))!;
    const folders = variants.map(({ folder }) => `ablations/${name}/cells/${folder}/seed-${seeds[0]}`);
    expect(folders.some((folder) => cell.startsWith(folder))).toBe(true);
    expect(words.slice(0, 3)).toEqual(['npx', 'udit', 'evaluate']);
    expect(words).toEqual(expect.arrayContaining(['--num-samples', '50k', '--metrics', 'fid,sfid,is,pr']));
    expect(Number(words[words.indexOf('--cfg-scale') + 1])).toBe(evaluation.cfgScale);
    expect(words[words.indexOf('--sampler') + 1]).toBe(evaluation.sampler);
    expect(Number(words[words.indexOf('--num-sampling-steps') + 1])).toBe(evaluation.steps);
    expect(commandProblem(shown!.command)).toBeUndefined();
  });
});
