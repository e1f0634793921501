/** @file `udit train` goes on with a run that is named: its options, more steps, and names that cannot be. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { learningRateAt } from '../src/tasks/training/optim/schedules.ts';
import { readStats } from '../src/tasks/training/run/stats-log.ts';
import { writePictureFolder } from './support/picture-folder.ts';
import { runUdit } from './support/run-udit.ts';
import { TINY_TRAINING_FLAGS } from './support/tiny-training.ts';

let root: string;
let pictures: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit continue '));
  pictures = join(root, 'pictures');
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  await writePictureFolder(pictures, { classes: ['cat', 'dog'], perClass: 4 });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

const runs = () => join(root, 'runs');
const train = (...flags: readonly string[]) => runUdit(['train', ...flags], root);
/** In the folder of runs. */
const trainThere = (...flags: readonly string[]) => train('--results-dir', runs(), ...flags);
const begin = (name: string, ...flags: readonly string[]) =>
  trainThere('--data-path', pictures, '--name', name, ...TINY_TRAINING_FLAGS, '--log-every', '1', ...flags);
const checkpointOf = (name: string, step: number) =>
  readFile(join(runs(), name, 'checkpoints', `step-${String(step).padStart(7, '0')}.safetensors`));
const learningRates = async (name: string) =>
  new Map(
    (await readStats(join(runs(), name, 'stats.jsonl')))
      .filter((record) => 'learningRate' in record)
      .map(({ step, learningRate }) => [step, learningRate]),
  );

describe('a run that is named', () => {
  beforeAll(async () => {
    await begin('whole');
  });

  test.each([
    ['its name', (name: string) => ['--results-dir', runs(), '--name', name]],
    ['its folder', (name: string) => ['--resume', join(runs(), name)]],
    [
      'its name and its configuration',
      (name: string) => [...['--results-dir', runs(), '--name', name, '--config', join(runs(), name)]],
    ],
    [
      'some of its options',
      (name: string) => [
        ...['--resume', join(runs(), name), '--model', 'DiT-S/2', '--lr', '0.01', '--data-path', pictures],
      ],
    ],
  ])('goes on by %s, to the same bytes', async (how, flags) => {
    const name = `by ${how}`;
    await begin(name, '--stop-after', '5');
    const { code, err } = await train(...flags(name), '--threads', '1');
    expect({ code, err }).toMatchObject({
      code: 0,
      err: expect.stringContaining('continuing at step 5 from'),
    });
    expect((await checkpointOf(name, 20)).equals(await checkpointOf('whole', 20))).toBe(true);
  });

  test('takes other intervals, and says so', async () => {
    const { code, err } = await train('--resume', join(runs(), 'whole'), '--ckpt-every', '7');
    expect({ code, err }).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "logging.ckptEvery is 7 from here on, 50000 before
      continuing at step 20 from ROOT/runs/whole/checkpoints/step-0000020.safetensors
      ",
      }
    `);
    expect(await readFile(join(runs(), 'whole', 'log.txt'), 'utf8')).toContain('logging.ckptEvery is 7 from');
  });

  test('may go on in micro-batches, which its bytes do not depend on when it stops in between', async () => {
    const memory = ['--set', 'training.microBatch=2', '--set', 'training.recompute=true'];
    await begin('in parts', ...memory, '--stop-after', '5');
    const { code, err } = await train('--resume', join(runs(), 'in parts'));
    expect({ code, err }).toMatchObject({ code: 0, err: expect.not.stringContaining('from here on') });
    await begin('in parts at once', ...memory);
    expect((await checkpointOf('in parts', 20)).equals(await checkpointOf('in parts at once', 20))).toBe(
      true,
    );
    const changed = await train('--resume', join(runs(), 'whole'), ...memory, '--dry-run');
    expect(changed.code).toBe(0);
  });

  test.each([
    ['another recipe', ['--recipe', 'paper'], 'objective.kind = "flow", not "gaussian"'],
    ['another model', ['--model', 'U-DiT-XS'], 'model.preset = "DiT-S/2", not "U-DiT-XS"'],
    ['another width', ['--set', 'model.width=16'], 'model.width = 8, not 16'],
    ['other patches', ['--set', 'model.patchSize=4'], 'model.patchSize = 2, not 4'],
    ['other data', ['--data-path', 'emoji'], 'data.kind = "folder", not "emoji"'],
    ['another seed', ['--global-seed', '5'], 'training.seed = 0, not 5'],
    ['initial weights', ['--init-from', 'runs/pets'], 'training.initFrom = null, not "runs/pets"'],
  ])('refuses %s, also in a dry run, with a command that works', async (_, flags, problem) => {
    const refused = await train('--resume', join(runs(), 'whole'), ...flags);
    expect(refused).toMatchObject({ code: 2, out: '', err: expect.stringContaining(problem) });
    expect(await train('--resume', join(runs(), 'whole'), ...flags, '--dry-run')).toEqual(refused);
    const [, fix] = /as in npx udit (.*), or/.exec(refused.err)!;
    const words = fix!
      .replace('ROOT', root)
      .split('"')
      .flatMap((part, i) => (i % 2 ? [part] : part.trim().split(' ')));
    expect(await runUdit(words.filter(Boolean), root)).toMatchObject({ code: 0 });
  });

  test('must be there for --resume, and be named once', async () => {
    expect(await train('--resume', join(root, 'none'))).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: --resume: there is no run in ROOT/none: it has no config.json
        fix: give the folder of a run, such as runs/u-dit-xs-emoji, or begin one with --name
      ",
        "out": "",
      }
    `);
    expect(await train('--resume', join(runs(), 'whole'), '--name', 'x')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "error: option '--resume <run>' cannot be used with option '--name <name>'
      (add --help for all options)
      ",
        "out": "",
      }
    `);
    expect(await readdir(root)).not.toContain('none');
  });

  test.each(['', '..', 'a/b'])('cannot be called %j', async (name) => {
    const before = await readdir(root);
    expect(await begin(name)).toMatchObject({
      code: 2,
      err: expect.stringContaining('ConfigError: --name: '),
    });
    expect(await readdir(root)).toEqual(before);
  });
});

describe('more steps for a finished run', () => {
  test('with a constant learning rate are those of a longer run', async () => {
    const constant = ['--set', 'optimizer.schedule=constant'];
    await begin('constant 10', ...constant, '--steps', '10');
    const { err } = await trainThere('--name', 'constant 10', '--steps', '15');
    expect(err).toContain('training.steps is 15 from here on, 10 before; the learning rate stays 0.01\n');
    await begin('constant 15', ...constant, '--steps', '15');
    expect((await checkpointOf('constant 10', 15)).equals(await checkpointOf('constant 15', 15))).toBe(true);
  });

  test('with a cosine are trained where that is asked for, with its moments, and the schedule is said', async () => {
    await begin('cosine', '--steps', '10', '--set', 'optimizer.warmupSteps=2');
    expect(await trainThere('--name', 'cosine', '--steps', '15')).toMatchInlineSnapshot(`
      {
        "code": 2,
        "err": "ConfigError: ROOT/runs/cosine: this run was started with training.steps = 10, not 15, and its learning rate falls as a cosine over these steps
        fix: add --extend, which draws the cosine over 15 steps from here on, or leave --steps out
      ",
        "out": "",
      }
    `);
    const { code, err } = await trainThere('--name', 'cosine', '--steps', '15', '--extend');
    expect({ code, err: err.split('\n').slice(0, 2) }).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": [
          "training.steps is 15 from here on, 10 before; the learning rate goes on as in a run of 15 steps, whose cosine ends at 0 there",
          "continuing at step 10 from ROOT/runs/cosine/checkpoints/step-0000010.safetensors",
        ],
      }
    `);
    const schedule = { kind: 'cosine', learningRate: 0.01, warmupSteps: 2 } as const;
    const rates = await learningRates('cosine');
    expect(rates.get(10)).toBe(0);
    for (const step of [11, 12, 15]) {
      expect(rates.get(step)).toBe(learningRateAt(step, { ...schedule, totalSteps: 15 }));
    }
    // From here on it is a run of 15 steps.
    expect(await trainThere('--name', 'cosine')).toMatchObject({
      code: 0,
      err: expect.stringContaining('at step 15'),
    });
  });
});
