/** @file `udit plot` from the command line: what it draws, and what it refuses. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shortestNames } from '../src/cli/plot.ts';
import { runUdit } from './support/run-udit.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit plot '));
  for (const [name, factor] of [
    ['a', 1],
    ['b', 2],
  ] as const) {
    await mkdir(join(root, name, 'seed-0'), { recursive: true });
    const records = [0, 10, 20].map((step) => ({
      step,
      nimg: 4 * step,
      heldOutLoss: factor * (1 - step / 20),
    }));
    const lines = records.map((record) => `${JSON.stringify(record)}\n`).join('');
    await writeFile(join(root, name, 'seed-0', 'stats.jsonl'), lines);
  }
});
afterAll(() => rm(root, { recursive: true }));

const plot = (...args: readonly string[]) =>
  runUdit(['plot', join(root, 'a/seed-0'), join(root, 'b/seed-0'), ...args], root);

describe('a plot of two runs', () => {
  test('is a drawing and a picture', async () => {
    const outcome = await plot('--out', join(root, 'new folder/curves'));
    expect(outcome).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "",
        "out": "drawn in ROOT/new folder/curves.svg
      drawn in ROOT/new folder/curves.png
      ",
      }
    `);
    const svg = await readFile(join(root, 'new folder/curves.svg'), 'utf8');
    for (const text of ['held-out loss against steps', 'a/seed-0', 'b/seed-0'])
      expect(svg).toContain(`>${text}<`);
    expect((await sharp(join(root, 'new folder/curves.png')).metadata()).format).toBe('png');
  });

  test('has one format where the name says so, and the title asked for', async () => {
    const { code } = await plot('--out', join(root, 'one.svg'), '--title', 'Longer training', '--x', 'nimg');
    expect(code).toBe(0);
    expect(existsSync(join(root, 'one.png'))).toBe(false);
    const svg = await readFile(join(root, 'one.svg'), 'utf8');
    for (const text of ['Longer training', 'pictures seen']) expect(svg).toContain(`>${text}<`);
  });

  test('can be had as numbers', async () => {
    const { out } = await plot('--out', join(root, 'numbers'), '--json', '--x', 'nimg');
    expect(JSON.parse(out).series[1]).toEqual({
      name: 'b/seed-0',
      points: [
        { x: 0, y: 2 },
        { x: 40, y: 1 },
        { x: 80, y: 0 },
      ],
    });
  });
});

describe('refuses, and draws nothing:', () => {
  const refusal = async (...args: readonly string[]) => {
    const { code, err } = await plot('--out', join(root, 'never.svg'), ...args);
    expect(existsSync(join(root, 'never.svg'))).toBe(false);
    return { code, err };
  };

  test('a measurement that is not there', async () => {
    expect(await refusal('--metric', 'heldOut')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: ROOT/a/seed-0/stats.jsonl: there is no measurement "heldOut"
        measured  heldOutLoss
        fix: did you mean heldOutLoss?
      ",
      }
    `);
  });

  test('zero on a logarithmic axis', async () => {
    expect(await refusal('--log')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: --log: a/seed-0 has the value 0, which has no place on a logarithmic axis
        fix: leave --log out
      ",
      }
    `);
  });

  test('a format that is none of the two', async () => {
    expect(await refusal('--out', join(root, 'curves.pdf'))).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: --out: "curves.pdf" ends in .pdf
        fix: use a name that ends in .svg or .png, or in neither for both
      ",
      }
    `);
  });

  test('a folder without measurements', async () => {
    const { code, err } = await runUdit(['plot', root, '--out', join(root, 'never.svg')], root);
    expect({ code, err }).toMatchInlineSnapshot(`
      {
        "code": 1,
        "err": "DataError: ROOT/stats.jsonl: there are no measurements
        fix: give the folder of a run that has trained, such as runs/u-dit-xs-emoji
      ",
      }
    `);
  });
});

test('runs are called by the parts of their paths that tell them apart', () => {
  expect(shortestNames(['runs/a', 'runs/b'])).toEqual(['a', 'b']);
  expect(shortestNames(['x/a/seed-0', 'x/b/seed-0/'])).toEqual(['a/seed-0', 'b/seed-0']);
  expect(shortestNames(['runs/a', 'runs/a'])).toEqual(['runs/a', 'runs/a']);
});

test('scores that were measured in different ways are not drawn in one chart', async () => {
  const runs = ['first', 'second'].map((name) => join(root, 'scored', name));
  for (const [i, run] of runs.entries()) {
    await mkdir(run, { recursive: true });
    await writeFile(
      join(run, 'stats.jsonl'),
      `${JSON.stringify({ step: 1, swd: 5, provenance: `way ${i}` })}\n`,
    );
  }
  const out = ['--metric', 'swd', '--out', join(root, 'scored/chart.svg')];
  const { code, err } = await runUdit(['plot', ...runs, ...out], root);
  expect(code).not.toBe(0);
  expect(err).toContain('its swd was measured in another way than that of first: way 1, not way 0');
  expect(existsSync(join(root, 'scored/chart.svg'))).toBe(false);
  expect((await runUdit(['plot', runs[0]!, ...out], root)).code).toBe(0);
});
