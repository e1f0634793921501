/** @file Every recipe is a grid whose models can be built; those for laptops cost what they say. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createModel } from '../src/networks/registry.ts';
import { cellMacs, planAblation } from '../src/tasks/ablation/ablation.ts';
import { cellConfig, type Grid, parseGrid } from '../src/tasks/ablation/grid.ts';
import { modelOfConfig } from '../src/tasks/training/config/model-for-data.ts';
import { REPOSITORY } from './support/documents.ts';

const RECIPES = readdirSync(join(REPOSITORY, 'recipes'))
  .filter((name) => name.endsWith('.json'))
  .map((name) => name.replace('.json', ''));

function recipe(name: string): Grid {
  const text = readFileSync(join(REPOSITORY, 'recipes', `${name}.json`), 'utf8');
  return parseGrid(JSON.parse(text), `${name}.json`, name);
}

test('there is one for every table that compares trained models', () => {
  const tables = [1, 2, 3, 4, 5, 6, 7, 9, 10].map((table) => `paper-table-${table}`);
  const small = [1, 7, 9].map((table) => `laptop-table-${table}`);
  expect(RECIPES.sort()).toEqual([...tables, ...small].sort());
});

describe.each(RECIPES)('%s', (name) => {
  const grid = recipe(name);

  test('says what it is, what to expect and what it takes', () => {
    const { description = '' } = grid;
    expect(description).toMatch(/Table \d/);
    expect(description).toMatch(/\d+\.\d\d/);
    expect(description).toMatch(name.startsWith('paper') ? /latents.* cannot read yet/ : /minutes/);
  });

  test.each(grid.variants)('$name: its model can be built', (variant) => {
    const config = cellConfig(grid, variant, { seed: 0, steps: grid.budget.steps! });
    expect(createModel(modelOfConfig(config)).config.inputSize).toBe(config.data.imageSize);
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
