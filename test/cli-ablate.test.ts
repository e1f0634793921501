/** @file `udit ablate` from the command line to its table and plots, on tiny models and a few pictures. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { withLock } from '../src/host/files/lock-file-node.ts';
import { readStats } from '../src/tasks/training/run/stats-log.ts';
import { commandProblem } from './support/command-check.ts';
import { writePictureFolder } from './support/picture-folder.ts';
import { type Outcome, runUdit } from './support/run-udit.ts';
import { spawnUdit } from './support/spawn-udit.ts';

let root: string;
let grid: object;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit ablate '));
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  await writePictureFolder(join(root, 'pictures'), { classes: ['cat', 'dog'], perClass: 8 });
  grid = {
    description: 'One block or two.',
    base: {
      model: { preset: 'DiT-S/2', width: 8, heads: 2, depth: 1 },
      data: { path: join(root, 'pictures'), imageSize: 8, heldOutFraction: 0.3 },
      objective: { kind: 'flow' },
      optimizer: { learningRate: 0.01, emaWarmup: true },
      training: { batchSize: 4, shards: 1 },
    },
    variants: [{ name: 'one block' }, { name: 'two blocks', set: { 'model.depth': 2 } }],
    seeds: [0, 1],
    budget: { steps: 20 },
    evaluation: { passes: 1, samples: 8, sampler: 'euler', steps: 2 },
  };
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

/** Writes a grid of that name, with `change` laid over the one above. */
async function writeGrid(name: string, change: object = {}): Promise<string> {
  const path = join(root, `${name}.json`);
  await writeFile(path, JSON.stringify({ ...grid, ...change }));
  return path;
}

const commandOf = (path: string, out: string, ...flags: readonly string[]) => [
  ...['ablate', path, '--out', join(root, out), '--threads', '1'],
  ...flags,
];
const ablate = async (out: string, change: object = {}, ...flags: readonly string[]) =>
  runUdit(commandOf(await writeGrid('grid', change), out, ...flags), root);

const read = (...parts: readonly string[]) => readFile(join(root, ...parts), 'utf8');
/** Measured values may differ in their last digits from one processor to another. */
const withoutNumbers = (text: string) => text.replaceAll(/\d+\.\d{2,}/g, '#');

/** Of an ablation that nobody disturbed. */
let outcome: Outcome;
const undisturbed = new Map<string, string>();
beforeAll(async () => {
  outcome = await ablate('whole');
  for (const name of ['table.md', 'results.json']) undisturbed.set(name, await read('whole', name));
}, 60_000);

describe('an ablation', () => {
  test('says how far it is, and what came of it', () => {
    const { code, err, out } = outcome;
    expect({ code, err: withoutNumbers(err) }).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "cell 1 of 4: one block, seed 0
      one block, seed 0: held-out loss #, held-out bound (bits/dim) #, Fréchet 8×8 RGB (proxy) #
      cell 2 of 4: two blocks, seed 0
      two blocks, seed 0: held-out loss #, held-out bound (bits/dim) #, Fréchet 8×8 RGB (proxy) #
      cell 3 of 4: one block, seed 1
      one block, seed 1: held-out loss #, held-out bound (bits/dim) #, Fréchet 8×8 RGB (proxy) #
      cell 4 of 4: two blocks, seed 1
      two blocks, seed 1: held-out loss #, held-out bound (bits/dim) #, Fréchet 8×8 RGB (proxy) #
      ",
      }
    `);
    expect(withoutNumbers(out)).toMatchInlineSnapshot(`
      "# grid

      One block or two.

      | variant | GMACs | parameters | steps | held-out loss | held-out bound (bits/dim) | Fréchet 8×8 RGB (proxy) |
      | --- | ---: | ---: | ---: | ---: | ---: | ---: |
      | one block | # | # M | 20 | # ± # | # ± # | # ± # |
      | two blocks | # | # M | 20 | # ± # | # ± # | # ± # |

      4 of 4 cells; mean ± standard deviation over seeds 0, 1. Averaged (EMA) weights. Less is better.

      - GMACs and parameters: of one image and of the network as it draws, with parallel kernels merged.
      - held-out loss: the training objective on pictures that training never sees, at fixed, evenly spread times with fixed noise.
      - held-out bound (bits/dim): the variational bound on the negative log-likelihood of the held-out pictures, in bits per dimension (of Gaussian diffusion the sum of its terms, of flows the integral over log SNR; docs/guides/ablations.md).
      - Fréchet 8×8 RGB (proxy): the Fréchet distance of drawn pictures from the data, both reduced to the mean colours of 8×8 tiles: a small-scale proxy for FID, good for comparing rows of this table and for nothing else.
      - Each held-out picture once; 8 drawn pictures, cfg scale 1.

      in ROOT/whole: table.md, results.json, plots and commands.md
      "
    `);
  });

  test('leaves table, results, plots, commands and a run per cell', async () => {
    const names = await readdir(join(root, 'whole'), { recursive: true });
    expect(names.filter((name) => !/seed-\d./.test(name)).sort()).toMatchInlineSnapshot(`
      [
        "cells",
        "cells/one-block",
        "cells/one-block/seed-0",
        "cells/one-block/seed-1",
        "cells/two-blocks",
        "cells/two-blocks/seed-0",
        "cells/two-blocks/seed-1",
        "commands.md",
        "metric-vs-macs.png",
        "metric-vs-macs.svg",
        "metric-vs-steps.png",
        "metric-vs-steps.svg",
        "results.json",
        "table.md",
      ]
    `);
    const { format, width } = await sharp(join(root, 'whole/metric-vs-macs.png')).metadata();
    expect({ format, width }).toEqual({ format: 'png', width: 3 * 2 * 460 });
    expect(await read('whole/metric-vs-steps.svg')).toContain('held-out loss while training');
  });

  test('has means and deviations of its cells, which are those of their runs', async () => {
    const { results } = JSON.parse(await read('whole/results.json'));
    expect(results).toHaveLength(2);
    for (const { name, cells, metrics } of results) {
      const folder = name.replace(' ', '-');
      const losses = await Promise.all(
        [0, 1].map(async (seed) => {
          const stats = await readStats(join(root, `whole/cells/${folder}/seed-${seed}/stats.jsonl`));
          return stats.findLast(({ step, heldOutLoss }) => step === 20 && heldOutLoss !== undefined)!
            .heldOutLoss as number;
        }),
      );
      cells.forEach(({ metrics: own }: { metrics: { heldOutLoss: number } }, seed: number) => {
        expect(own.heldOutLoss).toBeCloseTo(losses[seed]!, 5);
      });
      expect(metrics.heldOutLoss.mean).toBeCloseTo((losses[0]! + losses[1]!) / 2, 5);
      expect(metrics.heldOutLoss.deviation).toBeCloseTo(Math.abs(losses[0]! - losses[1]!) / Math.SQRT2, 5);
    }
  });

  test('names commands that work', async () => {
    const commands = (await read('whole/commands.md')).split('\n').filter((line) => /^npx udit /.test(line));
    expect(commands).toHaveLength(6);
    for (const command of commands) {
      const words = command.replaceAll(root, 'ROOT').replaceAll('"', '');
      expect(commandProblem(words)).toBeUndefined();
    }
    const [cell] = commands.filter((line) => line.includes('two-blocks/seed-1'));
    const args = [...cell!.slice('npx udit '.length).matchAll(/"([^"]*)"|(\S+)/g)].map(([, a, b]) => a ?? b!);
    const again = await runUdit(args, root);
    expect(again.out).toContain('finished at step 20\n');
  });

  test('that is finished is shown again, and not done again', async () => {
    const before = await read('whole/table.md');
    const { code, err, out } = await ablate('whole');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain(before);
    expect(await read('whole/table.md')).toBe(before);
  });

  test('is measured again where the evaluation changes, and trained for rows that are new', async () => {
    const { evaluation, variants } = grid as { evaluation: object; variants: object[] };
    const { code, err } = await ablate('whole', {
      seeds: [0],
      evaluation: { ...evaluation, samples: null },
      variants: [...variants, { name: 'no flips', set: { 'data.augment': 'none' } }],
    });
    expect({ code, err: withoutNumbers(err) }).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "cell 1 of 3: one block, seed 0
      one block, seed 0: held-out loss #, held-out bound (bits/dim) #
      cell 2 of 3: two blocks, seed 0
      two blocks, seed 0: held-out loss #, held-out bound (bits/dim) #
      cell 3 of 3: no flips, seed 0
      no flips, seed 0: held-out loss #, held-out bound (bits/dim) #
      ",
      }
    `);
    expect(await read('whole/table.md')).not.toContain('Fréchet');
  });

  test('refuses a folder in which another process works', async () => {
    const lock = join(root, 'whole/ablation.lock');
    const { code, err } = await withLock(lock, {}, () => ablate('whole'));
    expect({ code, err: err.replace(/process \d+/, 'process #') }).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: ROOT/whole: process # works on this ablation
        fix: wait until it has ended, or choose another folder with --out
      ",
      }
    `);
  });

  test('refuses a folder whose cells were trained otherwise', async () => {
    const variants = [{ name: 'one block', set: { 'model.depth': 3 } }];
    const { code, err } = await ablate('whole', { variants });
    expect({ code, err }).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "cell 1 of 2: one block, seed 0
      ConfigError: ROOT/whole/cells/one-block/seed-0: this run was started with model.depth = 1, not 3
        fix: write this grid into another folder with --out, or rename the variant
      ",
      }
    `);
  });
});

test('killed, stopped by Ctrl-C and repeated it gives the table that it would have given', async () => {
  const path = await writeGrid('grid');
  const env = { ...process.env, UDIT_CACHE: join(root, 'cache') };
  const killed = spawnUdit(commandOf(path, 'broken'), env);
  await killed.hasPrinted(/cell 2 of 4/);
  killed.kill('SIGKILL');
  await killed.ended;
  const stopped = spawnUdit(commandOf(path, 'broken'), env);
  await stopped.hasPrinted(/cell 3 of 4/);
  stopped.kill('SIGINT');
  expect(await stopped.ended).toEqual({ code: 130, signal: null });
  expect(stopped.printed()).not.toContain('cell 1 of 4');
  // The signal may come when the cell is just done.
  expect(await read('broken/table.md')).toMatch(/[23] of 4 cells/);

  const last = await runUdit(commandOf(path, 'broken'), root);
  expect(last.code).toBe(0);
  expect(last.err).not.toContain('cell 2 of 4');
  for (const [name, text] of undisturbed) expect(await read('broken', name)).toBe(text);
});

test('a budget of time becomes steps once, however often it goes on', async () => {
  const change = { budget: { minutes: 0.01 }, seeds: [0], evaluation: { passes: 1, samples: null } };
  const variants = [{ name: 'timed' }];
  const { code, err } = await ablate('timed', { ...change, variants });
  expect(code, err).toBe(0);
  const { steps, imagesPerSecond } = JSON.parse(await read('timed/cells/timed/pace.json'));
  expect(steps).toBe(Math.max(1, Math.round((0.6 * imagesPerSecond) / 4)));
  expect(existsSync(join(root, 'timed/cells/timed/pace'))).toBe(false);
  const { results } = JSON.parse(await read('timed/results.json'));
  expect(results[0].steps).toBe(steps);
  expect((await ablate('timed', { ...change, variants })).err).toBe('');
});

test('pictures of 16 pixels and more are also scored by SWD, and while training where that is asked for', async () => {
  const scored = {
    'data.imageSize': 16,
    ...{ 'logging.scores': ['swd'], 'logging.scoreEvery': 2, 'logging.scoreSamples': 4 },
  };
  const variants = [{ name: 'scored', set: scored }];
  const { out } = await ablate('scored', { variants, seeds: [0, 1], budget: { steps: 4 } });
  expect(out.split('\n').find((line) => line.startsWith('| variant'))).toContain('| SWD (×1000) |');
  const [{ metrics }] = JSON.parse(await read('scored/results.json')).results;
  expect(metrics.swd.mean).toBeGreaterThan(0);
  const stats = await readStats(join(root, 'scored/cells/scored/seed-0/stats.jsonl'));
  expect(stats.flatMap(({ step, swd }) => (swd === undefined ? [] : [step]))).toEqual([2, 4]);
  expect(await read('scored/metric-vs-steps.svg')).toContain('held-out loss, SWD while training');
  // Nor are losses of another objective.
  const objective = { kind: 'flow', timeDistribution: 'logit-normal' };
  const other = {
    variants: [...variants, { name: 'other', set: { ...scored, objective } }],
    seeds: [0],
    budget: { steps: 2 },
  };
  const mixed = await ablate('mixed', other);
  expect(mixed.err).toContain(
    'held-out loss is not drawn: cells measured it in 2 ways, which cannot be compared',
  );
  // Scores that a cell measured in another way are no points of that chart.
  const path = join(root, 'scored/cells/scored/seed-0/stats.jsonl');
  await writeFile(path, (await readFile(path, 'utf8')).replace(/"provenance":"\w/, '"provenance":"x'));
  const { code, err } = await ablate('scored', { variants, seeds: [0, 1], budget: { steps: 4 } });
  expect({ code, err }).toEqual({
    code: 0,
    err: 'warning: SWD is not drawn: cells measured it in 2 ways, which cannot be compared\n',
  });
  expect(await read('scored/metric-vs-steps.svg')).not.toContain('SWD');
});

describe('--dry-run', () => {
  test('lists cells and cost, and writes nothing', async () => {
    const { code, out, err } = await ablate('dry', {}, '--dry-run');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatchInlineSnapshot(`
      "One block or two.

      4 cells: 2 variants × 2 seeds (0, 1), in ROOT/dry

      variant        GMACs  M parameters  steps  training TMACs  drawing TMACs
      one block   0.000022          0.01     20               0              0
      two blocks  0.000039          0.01     20               0              0

      0 TMACs in all: about 0 s at 40 GMACs per second, as two cores of a laptop make.
      "
    `);
    expect(existsSync(join(root, 'dry'))).toBe(false);
  });

  test('as JSON', async () => {
    const { out } = await ablate('dry', {}, '--dry-run', '--json');
    const { planned } = JSON.parse(out);
    expect(planned.map(({ steps }: { steps: number }) => steps)).toEqual([20, 20]);
    expect(planned[1].cost.macs).toBeGreaterThan(planned[0].cost.macs);
  });
});

describe('refuses', () => {
  test('a grid that is not there, or no grid', async () => {
    await mkdir(join(root, 'bad'), { recursive: true });
    const absent = await runUdit(['ablate', join(root, 'bad/absent.json')], root);
    expect(absent).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: ROOT/bad/absent.json: cannot be read: ENOENT: no such file or directory, open 'ROOT/bad/absent.json'
        fix: check the path
      ",
        "out": "",
      }
    `);
    const { code, err } = await ablate('bad/out', { variants: [{ name: 'a', set: { 'model.dpeth': 2 } }] });
    expect({ code, err }).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: variant "a": configuration: unknown key model.dpeth
        fix: did you mean model.depth?
      ",
      }
    `);
    expect(existsSync(join(root, 'bad/out'))).toBe(false);
  });
});
