/** @file `udit train` from the command line to the files of a run, on a tiny model and a few pictures. */
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { readSafetensors } from '../src/formats/file-node.ts';
import { withLock } from '../src/host/files/lock-file-node.ts';
import { openModel } from '../src/models/open-node.ts';
import { readStats } from '../src/tasks/training/run/stats-log.ts';
import { planTraining } from '../src/tasks/training/run/training-session.ts';
import { writePictureFolder } from './support/picture-folder.ts';
import { type Outcome, runUdit } from './support/run-udit.ts';
import { spawnUdit } from './support/spawn-udit.ts';
import { TINY_TRAINING_FLAGS, TINY_UDIT_FLAGS, tinyConfig } from './support/tiny-training.ts';

let root: string;
let pictures: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit train '));
  pictures = join(root, 'my pictures');
  vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  await writePictureFolder(pictures, { classes: ['cat', 'dog'], perClass: 8 });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

/** Another optimizer, and averages of two kinds. */
const SGD_FLAGS = [
  ...['--set', 'optimizer.kind=sgd', '--set', 'optimizer.weightDecay=0.01'],
  '--set',
  `averages=${JSON.stringify([
    { name: 'fast', kind: 'exponential', decay: 0.5, warmup: false },
    { name: 'wide', kind: 'power', relativeStd: 0.2 },
  ])}`,
];

/** Losses may differ in their last digits from one processor to another. */
const withoutNumbers = (text: string) => text.replaceAll(/\b\d+\.\d{4}\b/g, '#.####');

/** The command line of a run; a flag that is given again wins. */
const commandOf = (name: string, ...flags: readonly string[]) => [
  ...['train', '--data-path', pictures, '--results-dir', join(root, 'my runs'), '--name', name],
  ...TINY_TRAINING_FLAGS,
  ...flags,
];
const train = (name: string, ...flags: readonly string[]) => runUdit(commandOf(name, ...flags), root);

const pathIn = (name: string, ...parts: readonly string[]) => join(root, 'my runs', name, ...parts);
const checkpointOf = (name: string, step: number) =>
  pathIn(name, 'checkpoints', `step-${String(step).padStart(7, '0')}.safetensors`);

async function expectSameCheckpoint(step: number, ...names: readonly string[]): Promise<void> {
  const [first, ...others] = await Promise.all(names.map((name) => readFile(checkpointOf(name, step))));
  for (const other of others) expect(other.equals(first!)).toBe(true);
}

describe('a run', () => {
  let outcome: Outcome;
  beforeAll(async () => {
    outcome = await train(
      'whole',
      '--set',
      'logging.sampleEvery=10',
      '--evaluate-every',
      '10',
      '--log-every',
      '5',
    );
  });

  test('says how it went and what to do next', () => {
    expect(outcome.code).toBe(0);
    expect(withoutNumbers(outcome.err)).toMatchInlineSnapshot(`
      "DiT-S/2 takes 3×8×8 pixels: 0.0000221 GMACs an image
      warning: DiT-S/2 was published for latents 4×32×32, as of pictures of 256 pixels; here it is given pixels themselves
      step 0: held-out loss #.####
      step 10: held-out loss #.####
      step 10: samples in ROOT/my runs/whole/samples/step-0000010.png
      step 20: checkpoint ROOT/my runs/whole/checkpoints/step-0000020.safetensors
      step 20: held-out loss #.####
      step 20: samples in ROOT/my runs/whole/samples/step-0000020.png
      "
    `);
    expect(withoutNumbers(outcome.out)).toMatchInlineSnapshot(`
      "finished at step 20
      held-out loss  #.#### at step 0, #.#### at step 20
      checkpoint     ROOT/my runs/whole/checkpoints/step-0000020.safetensors
      draw from it   npx udit sample "ROOT/my runs/whole"
      "
    `);
  });

  test('leaves the files of a run', async () => {
    const names = await readdir(pathIn('whole'), { recursive: true });
    expect(names.map((name) => name.replace(/tfevents\..*/, 'tfevents')).sort()).toMatchInlineSnapshot(`
      [
        "checkpoints",
        "checkpoints/step-0000020.safetensors",
        "config.json",
        "data.json",
        "events.out.tfevents",
        "log.txt",
        "samples",
        "samples/step-0000010.png",
        "samples/step-0000020.png",
        "stats.jsonl",
      ]
    `);
    const config = JSON.parse(await readFile(pathIn('whole', 'config.json'), 'utf8'));
    expect(config).toMatchObject({ model: { width: 8 }, data: { path: pictures }, training: { steps: 20 } });
    const log = await readFile(pathIn('whole', 'log.txt'), 'utf8');
    for (const line of outcome.err.trimEnd().split('\n')) {
      expect(log.replaceAll(root, 'ROOT')).toContain(line);
    }
    expect(log).toMatch(/step 20 of 20 \| loss \d+\.\d+ \| \d+\.\d images\/s/);
  });

  test('draws a labelled row per class', async () => {
    const [first, last] = await Promise.all(
      ['0000010', '0000020'].map((step) =>
        sharp(pathIn('whole', 'samples', `step-${step}.png`))
          .raw()
          .toBuffer(),
      ),
    );
    expect(last!.length).toBe(first!.length);
    expect(last!.equals(first!)).toBe(false);
  });

  test('measures each step once, and the held-out loss falls', async () => {
    const stats = await readStats(pathIn('whole', 'stats.jsonl'));
    expect(
      stats.map(({ step, heldOutLoss }) => [step, heldOutLoss === undefined ? 'train' : 'held out']),
    ).toEqual([
      [0, 'held out'],
      [5, 'train'],
      [10, 'train'],
      [10, 'held out'],
      [15, 'train'],
      [20, 'train'],
      [20, 'held out'],
    ]);
    expect(stats.at(-1)!.heldOutLoss).toBeLessThan(stats[0]!.heldOutLoss as number);
  });

  test.each([
    ['DiT', []],
    ['U-DiT', TINY_UDIT_FLAGS],
    ['DiT, by another optimizer with two averages,', SGD_FLAGS],
  ])('of a %s in two sessions gives the bytes of one', async (family, flags) => {
    expect(await train(`${family} twice`, ...flags, '--stop-after', '10')).toMatchObject({
      code: 0,
      out: expect.stringContaining('stopped at step 10\n'),
    });
    const second = await train(`${family} twice`, ...flags);
    expect(second.out).toContain('finished at step 20\n');
    expect(second.err).toContain(
      `continuing at step 10 from ROOT/my runs/${family} twice/checkpoints/step-0000010.safetensors\n`,
    );
    await train(`${family} once`, ...flags);
    await expectSameCheckpoint(20, `${family} twice`, `${family} once`);
  });

  test('names the buffers of its optimizer and its averages in checkpoints, which can be drawn from', async () => {
    await train('sgd', ...SGD_FLAGS);
    const { tensors } = await readSafetensors(checkpointOf('sgd', 20));
    const groups = new Set([...tensors.keys()].map((name) => name.replace(/x_embedder.*/, '')));
    expect([...groups].filter((name) => name.endsWith('.') && !name.includes('block'))).toEqual([
      ...['model.', 'fast.', 'wide.', 'optimizer.momentum_buffer.'],
    ]);
    const sourceOf = async (weights?: string) => (await openModel(pathIn('sgd'), { weights })).source;
    expect([await sourceOf(), await sourceOf('wide'), await sourceOf('model')]).toEqual([
      'fast',
      'wide',
      'model',
    ]);
    const fast = (await openModel(pathIn('sgd'))).weights.get('x_embedder.proj.weight')!;
    expect(fast.data).toEqual(tensors.get('fast.x_embedder.proj.weight')!.data);
    await expect(sourceOf('ema')).rejects.toThrow(
      'it has weights model, fast, wide, but --weights ema is requested',
    );
  });

  test('with another seed gives other bytes', async () => {
    await train('other', '--global-seed', '1');
    expect(
      (await readFile(checkpointOf('other', 20))).equals(await readFile(checkpointOf('whole', 20))),
    ).toBe(false);
  });

  test('that is finished stays as it is', async () => {
    const before = await readFile(checkpointOf('whole', 20));
    const stats = await readStats(pathIn('whole', 'stats.jsonl'));
    const { code, out, err } = await train('whole', '--json');
    expect(code).toBe(0);
    expect(err).not.toMatch(/skipped|passed over|transparen/);
    const { heldOut, ...result } = JSON.parse(out);
    expect(result).toMatchInlineSnapshot(`
      {
        "checkpoint": "ROOT/my runs/whole/checkpoints/step-0000020.safetensors",
        "finished": true,
        "run": "ROOT/my runs/whole",
        "step": 20,
      }
    `);
    expect(heldOut).toEqual({ first: heldOut.last, last: { step: 20, loss: expect.any(Number) } });
    expect((await readFile(checkpointOf('whole', 20))).equals(before)).toBe(true);
    expect(await readStats(pathIn('whole', 'stats.jsonl'))).toEqual(stats);
  });

  test('begins with what another run learned; new blocks and tables of other classes begin anew', async () => {
    const heldOut = async (name: string, step: number) =>
      (await readStats(pathIn(name, 'stats.jsonl'))).find(
        (record) => record.step === step && 'heldOutLoss' in record,
      )!.heldOutLoss as number;

    // A new block begins as the identity, so that the deeper model computes what the other one does.
    const deeper = await train('deeper', '--init-from', pathIn('whole'), '--set', 'model.depth=2');
    expect(deeper.err.split('\n')[0]).toBe(
      'beginning with 22 tensors of ROOT/my runs/whole/checkpoints/step-0000020.safetensors (ema); as in a run from scratch: blocks.1',
    );
    expect(await heldOut('deeper', 0)).toBeCloseTo(await heldOut('whole', 20), 5);
    expect(await heldOut('deeper', 20)).toBeLessThan(await heldOut('deeper', 0));

    const classes = await train('classes', '--init-from', pathIn('whole'), '--num-classes', '5');
    expect(classes.err.split('\n')[0]).toContain('as in a run from scratch: y_embedder.embedding_table');
    const averaging = ['--init-from', pathIn('whole'), '--num-classes', '5', '--init-classes', 'average'];
    const averaged = await train('averaged', ...averaging, '--stop-after', '1');
    expect(averaged.err.split('\n')[0]).toMatch(
      /^beginning with \d+ tensors of .*; averaged over its classes: y_embedder.embedding_table$/,
    );

    const wider = await train('wider', '--init-from', pathIn('whole'), '--set', 'model.width=16');
    expect(wider).toMatchObject({
      code: 1,
      err: expect.stringContaining('does not fit the model of this run'),
    });
    expect(await readdir(join(root, 'my runs'))).not.toContain('wider');

    const dry = await train('dry', '--init-from', pathIn('whole'), '--dry-run');
    expect(dry.out).toContain('start       with 22 tensors of ROOT/my runs/whole/');
    const tooWide = await train(
      'dry',
      '--init-from',
      pathIn('whole'),
      '--set',
      'model.width=16',
      '--dry-run',
    );
    expect(tooWide).toMatchObject({ code: 1, out: '', err: wider.err });

    // What could not begin leaves nothing that stands in the way.
    const nothing = await train('nothing', '--init-from', pathIn('missing'));
    expect(nothing).toMatchObject({ code: 2, err: expect.stringContaining('my runs/missing') });
    const corrected = await train('nothing', '--init-from', pathIn('whole'));
    expect(corrected).toMatchObject({ code: 0, err: expect.stringMatching(/^beginning with 22 tensors/) });
    const changed = await train('nothing', '--init-from', pathIn('deeper'));
    expect(changed).toMatchObject({ code: 2, err: expect.stringContaining('training.initFrom') });

    // It is its own checkpoint that a run goes on from.
    const planned = await train(
      'deeper',
      '--init-from',
      pathIn('whole'),
      '--set',
      'model.depth=2',
      '--dry-run',
    );
    expect(planned.out).toContain('start       at step 20 from ROOT/my runs/deeper/checkpoints/step-0000020');
    const again = await train('deeper', '--init-from', pathIn('whole'), '--set', 'model.depth=2');
    expect(again).toMatchObject({ code: 0, err: expect.stringContaining('continuing at step 20') });
  });

  test('is trained by one process at a time', async () => {
    await train('alone', '--stop-after', '1');
    const before = await readdir(pathIn('alone'));
    const meanwhile = await withLock(pathIn('alone', 'training.lock'), {}, () => train('alone'));
    expect(meanwhile.code).toBe(2);
    expect(meanwhile.err.replaceAll(String(process.pid), 'ID')).toMatchInlineSnapshot(`
      "ConfigError: ROOT/my runs/alone: process ID trains this run
        fix: wait until it has ended, or start another run with --name
      "
    `);
    expect(await readdir(pathIn('alone'))).toEqual(before);
    expect(before).not.toContain('training.lock');
  });

  test('stops after a time', async () => {
    const { code, out } = await train('timed', '--max-minutes', '0', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ step: 0, finished: false });
  });

  test('takes its options from a file, under the flags', async () => {
    const file = join(root, 'my config.json');
    await writeFile(file, JSON.stringify({ training: { steps: 7, seed: 3 }, $schema: 'any' }));
    const { out } = await train('filed', '--config', file, '--steps', '9', '--dry-run', '--json');
    expect(JSON.parse(out).config.training).toMatchObject({ steps: 9, seed: 3 });
    const own = await train('filed', '--config', pathIn('whole', 'config.json'), '--dry-run', '--json');
    expect(JSON.parse(own.out).config.model).toMatchObject({ width: 8 });
  });
});

describe('a dry run', () => {
  test('shows configuration, model and data, and writes nothing', async () => {
    const before = await readdir(join(root, 'my runs'));
    const { code, out, err } = await train('dry', '--dry-run');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out.split('\n').slice(0, 14).join('\n')).toMatchInlineSnapshot(`
      "run         ROOT/my runs/dry
      model       DiT-S/2, 3,908 parameters
      input       DiT-S/2 takes 3×8×8 pixels: 0.0000221 GMACs an image
                  warning: DiT-S/2 was published for latents 4×32×32, as of pictures of 256 pixels; here it is given pixels themselves
      memory      at least 161 kB, of which a step takes 82.4 kB
      data        11 training and 5 held-out pictures in 2 classes
      skipped     0
      passed over nothing
      turned      0
      transparent 0
      clipped     0
      cropped     0
      enlarged    0
      start       with random weights"
    `);
    expect(await readdir(join(root, 'my runs'))).toEqual(before);
  });

  test('says what a training would take that is refused here, before it leaves a trace', async () => {
    const large = ['--global-batch-size', '1000000000'];
    const dry = await train('too large', ...large, '--dry-run');
    expect(dry.out).toMatch(/memory {6}at least .* TB, .*: more than the .* that there are\n/);
    for (const { code, err } of [dry, await train('too large', ...large)]) {
      expect(code).toBe(2);
      expect(err).toMatch(/^ConfigError: training: it needs at least .* TB of memory, there are .*\n/m);
    }
    await expect(readdir(pathIn('too large'))).rejects.toThrow('ENOENT');
  });

  test('for scripts', async () => {
    const { out } = await train('dry', '--dry-run', '--json');
    expect(JSON.parse(out)).toMatchObject({
      run: 'ROOT/my runs/dry',
      config: { training: { steps: 20 } },
      model: { family: 'DiT', config: { inputSize: 8, numClasses: 2 } },
      parameters: 3908,
      memoryBytes: expect.any(Number),
    });
  });
});

describe('the pictures of a run', () => {
  const moved = (name: string, folder: string, ...flags: string[]) =>
    train(name, '--data-path', join(root, folder), ...flags);
  const isMove = (line: string) => line.includes('have moved');

  /** A run that has begun with a copy of the pictures, which lie somewhere else afterwards. */
  async function beginAndMove(name: string, ...flags: readonly string[]): Promise<string> {
    const [before, after] = [join(root, `${name} before`), `${name} after`];
    await cp(pictures, before, { recursive: true });
    await train(name, '--data-path', before, '--stop-after', '10', ...flags);
    await rename(before, join(root, after));
    return after;
  }

  test('may have moved: the run goes on to the same bytes, and says so in one line', async () => {
    const folder = await beginAndMove('moved');
    const { code, err } = await moved('moved', folder);
    expect(code).toBe(0);
    expect(err.split('\n').filter(isMove)).toEqual([
      'the pictures have moved from ROOT/moved before to ROOT/moved after; they are the same',
    ]);
    await expectSameCheckpoint(20, 'moved', 'whole');
    expect(JSON.parse(await readFile(pathIn('moved', 'config.json'), 'utf8')).data.path).toBe(
      join(root, folder),
    );
    expect((await moved('moved', folder)).err.split('\n').filter(isMove)).toEqual([]);
  });

  test('may not be others; another run can go on with what was learned', async () => {
    const folder = await beginAndMove('others');
    for (const i of [1, 4]) await rm(join(root, folder, 'cat', `${i}.png`));
    await rename(join(root, folder, 'dog', '2.png'), join(root, folder, 'dog', 'two.png'));
    const config = await readFile(pathIn('others', 'config.json'), 'utf8');
    const { code, err } = await moved('others', folder);
    expect(code).toBe(2);
    expect(err).toMatchInlineSnapshot(`
      "ConfigError: ROOT/my runs/others: the data of this run have changed: 3 fewer, 1 new of 16
        missing  cat/1.png, cat/4.png, dog/2.png
        new      dog/two.png
        fix: restore them, or begin another run with what was learned: npx udit train --config "ROOT/my runs/others" --data-path "ROOT/others after" --init-from "ROOT/my runs/others" --name NEW
      "
    `);
    expect(await readFile(pathIn('others', 'config.json'), 'utf8')).toBe(config);
    await expectFixWorks(err, 'others 2');
  });

  test('may not have more classes; the way out is told with their number', async () => {
    const folder = await beginAndMove('classes before', '--num-classes', '2');
    await cp(join(root, folder, 'cat'), join(root, folder, 'fish'), { recursive: true });
    const { code, err } = await moved('classes before', folder);
    expect({ code, err: err.split('\n')[0] }).toEqual({
      code: 2,
      err: 'ConfigError: ROOT/my runs/classes before: the data of this run have changed: 0 fewer, 8 new of 16',
    });
    expect(await moved('classes before', folder, '--dry-run')).toMatchObject({ code: 2, err });
    expect(err).toContain(' --num-classes 3 ');
    await expectFixWorks(err, 'classes after');
  });

  /** Runs the command that an error gives, with a name for the run. */
  async function expectFixWorks(err: string, name: string): Promise<void> {
    const [, command] = /udit (train .* --name) NEW$/m.exec(err)!;
    const parts = command!.replaceAll('ROOT', root).split('"');
    const words = parts.flatMap((part, i) => (i % 2 === 1 ? [part] : part.split(' ').filter(Boolean)));
    const short = ['--results-dir', join(root, 'my runs'), '--stop-after', '1', '--threads', '1'];
    const { code, err: said } = await runUdit([...words, name, ...short], root);
    expect({ code, said }).toEqual({ code: 0, said: expect.stringMatching(/^beginning with 2\d tensors/) });
  }

  test('may have moved in a run that kept no list of them, if the classes are the same', async () => {
    const folder = await beginAndMove('unlisted');
    await rm(pathIn('unlisted', 'data.json'));
    await mkdir(join(root, folder, 'fish'));
    await cp(join(root, folder, 'cat', '1.png'), join(root, folder, 'fish', '1.png'));
    const { err, code } = await moved('unlisted', folder);
    expect(code).toBe(2);
    expect(err).toMatchInlineSnapshot(`
      "ConfigError: ROOT/my runs/unlisted: the data of this run have changed: the classes are others
        before  cat, dog
        now     cat, dog, fish
        fix: restore them, or begin another run with what was learned: npx udit train --config "ROOT/my runs/unlisted" --data-path "ROOT/unlisted after" --init-from "ROOT/my runs/unlisted" --name NEW
      "
    `);
    await rm(join(root, folder, 'fish'), { recursive: true });
    expect((await moved('unlisted', folder)).err.split('\n').find(isMove)).toMatchInlineSnapshot(
      `"warning: the data have moved from ROOT/unlisted before to ROOT/unlisted after; an earlier version kept no list of them, so only the classes were compared"`,
    );
    await expectSameCheckpoint(20, 'unlisted', 'whole');
    expect(await readFile(pathIn('unlisted', 'data.json'), 'utf8')).toContain('"cat/1.png"');
  });
});

describe('wrong usage ends with code 2', () => {
  const dry = async (...flags: readonly string[]) => {
    const { code, out, err } = await train('wrong', '--dry-run', ...flags);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    return err;
  };

  test('a flag that does not exist', async () => {
    expect(await dry('--learning-rate', '1')).toMatchInlineSnapshot(`
      "error: unknown option '--learning-rate'
      (add --help for all options)
      "
    `);
  });

  test('a value that is no number', async () => {
    expect(await dry('--steps', 'many')).toMatchInlineSnapshot(`
      "error: option '--steps <n>' argument 'many' is invalid. A whole number from 1 is needed, such as 5 or 8Ki.
      (add --help for all options)
      "
    `);
  });

  test('a key that does not exist', async () => {
    expect(await dry('--set', 'optimizer.clipnorm=1')).toMatchInlineSnapshot(`
      "ConfigError: configuration: unknown key optimizer.clipnorm
        fix: did you mean optimizer.clipNorm?
      "
    `);
  });

  test('an assignment that is none', async () => {
    expect(await dry('--set', 'optimizer.clipNorm')).toMatchInlineSnapshot(`
      "ConfigError: --set: "optimizer.clipNorm" is not of the form key=value
        fix: write it as in --set optimizer.clipNorm=1
      "
    `);
  });

  test('a preset that does not exist', async () => {
    expect(await dry('--model', 'U-DiT-XSS')).toMatchInlineSnapshot(`
      "ConfigError: preset: there is no preset "U-DiT-XSS"
        U-DiT         XS T S B L
        DiT           UNet S/2 S/4 S/8 B/2 B/4 B/8 L/2 L/4 L/8 XL/2 XL/4 XL/8
        DiT-UNet      Slim KV
        SiT           S/2 S/4 S/8 B/2 B/4 B/8 L/2 L/4 L/8 XL/2 XL/4 XL/8
        DiT-LLaMA     B/4 L/4 XL/2 XL/4
        SiT-LLaMA     S/2 B/2 L/2 XL/2
        autoencoders  autoencoder SD-VAE TAESD TAESD3 TAEF2
        fix: did you mean U-DiT-XS?
      "
    `);
  });

  test.each([
    ['missing', undefined, /^ConfigError: ROOT\/missing: cannot be read: ENOENT/],
    ['no JSON', '{"training": ', /^ConfigError: ROOT\/no JSON: is not valid JSON: /],
    ['no object', 'null', /^ConfigError: ROOT\/no object: is not a JSON object\n {2}fix: write an object /],
  ])('a configuration file: %s', async (name, text, message) => {
    if (text !== undefined) await writeFile(join(root, name), text);
    expect(await dry('--config', join(root, name))).toMatch(message);
  });

  test('other options than the run was started with', async () => {
    await train('bound', '--stop-after', '1');
    const before = await readFile(checkpointOf('bound', 1));
    const { code, err } = await train('bound', '--set', 'model.width=16');
    expect(code).toBe(2);
    expect(err).toMatchInlineSnapshot(`
      "ConfigError: ROOT/my runs/bound: this run was started with model.width = 8, not 16
        fix: leave the option out, as in npx udit train --resume "ROOT/my runs/bound", or start another run with --name
      "
    `);
    expect((await readFile(checkpointOf('bound', 1))).equals(before)).toBe(true);
  });
});

describe('what goes wrong in a run', () => {
  test('a loss that is not finite stops it and names step, pictures and the last good checkpoint', async () => {
    const flags = ['--lr', '1e30', '--ckpt-every', '1', '--set', 'optimizer.clipNorm=null'];
    const { code, err } = await train('diverging', ...flags, '--set', 'optimizer.warmupSteps=0');
    expect(code).toBe(1);
    expect(err.replaceAll(/(cat|dog)\/\d\.png/g, 'PICTURE')).toMatchInlineSnapshot(`
      "DiT-S/2 takes 3×8×8 pixels: 0.0000221 GMACs an image
      warning: DiT-S/2 was published for latents 4×32×32, as of pictures of 256 pixels; here it is given pixels themselves
      step 0: held-out loss 1.1354
      step 1: checkpoint ROOT/my runs/diverging/checkpoints/step-0000001.safetensors
      NumericsError: training step 2: the loss is Infinity, the norm of the gradient NaN
        pictures              PICTURE, PICTURE, PICTURE, PICTURE
        last good checkpoint  ROOT/my runs/diverging/checkpoints/step-0000001.safetensors
        fix: lower optimizer.learningRate or set optimizer.clipNorm, and start another run with --name
      "
    `);
    const { tensors } = await readSafetensors(checkpointOf('diverging', 1));
    expect([...tensors.values()].every(({ data }) => (data as Float32Array).every(Number.isFinite))).toBe(
      true,
    );
  });

  test('damaged checkpoints are passed over with a warning, and the result is the same', async () => {
    await train('damaged', '--ckpt-every', '4', '--stop-after', '12');
    await truncate(checkpointOf('damaged', 12), 1000);
    const { code, err } = await train('damaged', '--ckpt-every', '4');
    expect(code).toBe(0);
    expect(err.split('\n').slice(0, 2).join('\n')).toMatchInlineSnapshot(`
      "warning: ROOT/my runs/damaged/checkpoints/step-0000012.safetensors: the header ends at byte 8920, but the file has 1000 bytes; an earlier checkpoint is used, if there is one
      continuing at step 8 from ROOT/my runs/damaged/checkpoints/step-0000008.safetensors"
    `);
    await expectSameCheckpoint(20, 'damaged', 'whole');
  });

  test('an image that cannot be read is skipped and named, or an error with --strict', async () => {
    const flawed = join(root, 'flawed pictures');
    await writePictureFolder(flawed, { classes: ['cat', 'dog'], perClass: 3 });
    await writeFile(join(flawed, 'cat', 'broken.png'), 'not a picture');
    const flags = ['--data-path', flawed, '--steps', '1'];
    const skipping = await train('flawed', ...flags);
    expect(skipping.code).toBe(0);
    expect(skipping.err.split('\n')[0]).toMatchInlineSnapshot(
      `"warning: skipped cat/broken.png: not an image, or of a format that cannot be read"`,
    );
    expect(await readFile(pathIn('flawed', 'log.txt'), 'utf8')).toContain('skipped cat/broken.png: ');
    expect((await train('dry', ...flags, '--dry-run')).out).toContain('skipped     1\n');
    const strict = await train('strict', ...flags, '--strict');
    expect(strict.code).toBe(1);
    expect(strict.err).toMatchInlineSnapshot(`
      "DataError: ROOT/flawed pictures: cat/broken.png cannot be read: not an image, or of a format that cannot be read
        fix: mend or remove the file, or leave out --strict to skip such images
      "
    `);
  });

  test('a folder that is not there', async () => {
    expect(await train('none', '--data-path', join(root, 'none'))).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^DataError: ROOT\/none: there is no such folder\n/),
    });
  });

  test.each([
    ['SIGINT', 130, 'Ctrl-C'],
    ['SIGHUP', 129, 'SIGHUP'],
    ['SIGTERM', 143, 'SIGTERM'],
  ] as const)('%s writes a checkpoint, and the run can go on', async (signal, exitCode, name) => {
    const child = spawnUdit(commandOf(signal, '--steps', '100000'));
    await child.hasPrinted(/held-out loss/);
    child.kill(signal);
    expect(await child.ended).toEqual({ code: exitCode, signal: null });
    expect(child.printedToError().endsWith(`stopped by ${name}\n`)).toBe(true);
    expect(await readdir(pathIn(signal))).not.toContain('training.lock');
    const [checkpoint] = await readdir(pathIn(signal, 'checkpoints'));
    const step = Number(/\d+/.exec(checkpoint!)![0]);
    const { code, err } = await train(signal, '--steps', '100000', '--stop-after', String(step + 1));
    expect(code).toBe(0);
    expect(err).toContain(`continuing at step ${step} from `);
  });

  test('a stop while pictures are prepared is heard between two of them', async () => {
    vi.stubEnv('UDIT_CACHE', join(root, 'another cache'));
    const config = tinyConfig({ data: { path: pictures } });
    const controller = new AbortController();
    const onPreparing = vi.fn(() => controller.abort(new Error('stopped')));
    const planning = planTraining(config, { observer: {}, signal: controller.signal, onPreparing });
    await expect(planning).rejects.toThrow('stopped');
    expect(onPreparing).toHaveBeenCalledOnce();
    vi.stubEnv('UDIT_CACHE', join(root, 'cache'));
  });
});
