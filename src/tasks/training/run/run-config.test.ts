import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TINY_LAYERS, tinyConfig } from '../../../../test/support/tiny-training.ts';
import { type ConfigLayer, layerOf } from '../config/config-layer.ts';
import { resolveTrainConfig } from '../config/train-config.ts';
import { bindConfig, changesToRun, configForRun, defaultsOfRun } from './run-config.ts';

let root: string;
let runPath: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit run '));
  runPath = join(root, 'mine');
  await begin(runPath);
});
afterEach(() => rm(root, { recursive: true }));

/** As after the first checkpoint. */
async function begin(folder: string): Promise<void> {
  await mkdir(join(folder, 'checkpoints'), { recursive: true });
  await writeFile(join(folder, 'checkpoints', 'step-0000001.safetensors'), '');
}

/** The message with the temporary folder named ROOT. */
async function messageOf(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => expect.fail('no error'),
    (reason: unknown) => reason,
  );
  return (error as Error).message.replaceAll(root, 'ROOT');
}

describe('the configuration of a run', () => {
  const bind = (...changes: readonly ConfigLayer[]) => bindConfig(runPath, tinyConfig(...changes), '1.2.3');

  test('is written with the version', async () => {
    await bind();
    const written = JSON.parse(await readFile(join(runPath, 'config.json'), 'utf8'));
    expect(written).toEqual({ ...tinyConfig(), uditVersion: '1.2.3' });
  });

  test('what does not decide the result may change, and is written anew', async () => {
    await bind();
    expect(await bind(layerOf('logging.ckptEvery', 7))).toEqual([
      { key: 'logging.ckptEvery', before: 250, after: 7 },
    ]);
    const written = JSON.parse(await readFile(join(runPath, 'config.json'), 'utf8'));
    expect(written.logging.ckptEvery).toBe(7);
  });

  test.each([
    ['model.width', 16],
    ['data.imageSize', 16],
    ['objective.timeScale', 1],
    ['optimizer.learningRate', 0.5],
    ['averages', []],
    ['training.batchSize', 5],
    ['training.seed', 1],
  ])('another %s is refused', async (key, value) => {
    await bind();
    expect(await messageOf(bind(layerOf(key, value)))).toContain(`this run was started with ${key} = `);
    await bind();
  });

  test('the error names the key and both values', async () => {
    await bind();
    expect(await messageOf(bind(layerOf('model.depth', [1, 1, 2, 1, 1])))).toMatchInlineSnapshot(`
      "ConfigError: ROOT/mine: this run was started with model.depth = [1,1,1,1,1], not [1,1,2,1,1]
        fix: leave the option out, as in npx udit train --resume "ROOT/mine", or start another run with --name"
    `);
    expect(await messageOf(bind(layerOf('model.numClasses', 9)))).toMatchInlineSnapshot(`
      "ConfigError: ROOT/mine: this run was started with model.numClasses = (nothing), not 9
        fix: leave the option out, as in npx udit train --resume "ROOT/mine", or start another run with --name"
    `);
  });

  test('more steps are the same run with a constant rate; a cosine is drawn anew where that is asked for', async () => {
    await bind();
    expect(await messageOf(bind(layerOf('training.steps', 40)))).toMatchInlineSnapshot(`
      "ConfigError: ROOT/mine: this run was started with training.steps = 20, not 40, and its learning rate falls as a cosine over these steps
        fix: add --extend, which draws the cosine over 40 steps from here on, or leave --steps out"
    `);
    const more = tinyConfig(layerOf('training.steps', 40));
    const changes = [{ key: 'training.steps', before: 20, after: 40 }];
    expect(await changesToRun(runPath, more, { extend: true })).toEqual(changes);
    expect(await bindConfig(runPath, more, '1.2.3', { extend: true })).toEqual(changes);
    expect(await bindConfig(runPath, more, '1.2.3')).toEqual([]);
    const constant = join(root, 'constant');
    await begin(constant);
    for (const steps of [20, 40]) {
      const layers = [layerOf('optimizer.schedule', 'constant'), layerOf('training.steps', steps)];
      await bindConfig(constant, tinyConfig(...layers), '1.2.3');
    }
  });

  test('decides nothing before there is a checkpoint', async () => {
    await bind();
    await rm(join(runPath, 'checkpoints'), { recursive: true });
    const other = layerOf('optimizer.learningRate', 0.5);
    expect(await configForRun(runPath, [other])).toEqual(tinyConfig(other));
    expect(await bind(other)).toEqual([]);
    const preset = layerOf('model.preset', 'DiT-S/2');
    expect(await configForRun(runPath, [preset])).toEqual(resolveTrainConfig([preset]));
  });

  test('is taken for what is not said', async () => {
    const asked = layerOf('logging.ckptEvery', 7);
    expect(await configForRun(runPath, TINY_LAYERS)).toEqual(tinyConfig());
    await bind(layerOf('averages', []), layerOf('optimizer.clipNorm', 3));
    const kept = tinyConfig(layerOf('averages', []), layerOf('optimizer.clipNorm', 3));
    expect(await configForRun(runPath, [])).toEqual(kept);
    expect(await configForRun(runPath, [asked])).toEqual({
      ...kept,
      logging: { ...kept.logging, ckptEvery: 7 },
    });
    expect(await messageOf(configForRun(runPath, [layerOf('model.preset', 'DiT-S/2')]))).toContain(
      'this run was started with model.preset = "U-DiT-XS", not "DiT-S/2"',
    );
  });

  describe('of a version that had fewer options', () => {
    beforeEach(async () => {
      await bind(layerOf('data.background', 'drop'));
      const path = join(runPath, 'config.json');
      const { data, training, optimizer, averages, ...rest } = JSON.parse(await readFile(path, 'utf8'));
      const { balanceClasses: _, background: __, orientation: ______, endings: _____, ...earlierData } = data;
      const { initFrom: ___, ...earlierTraining } = training;
      const { kind: ____, ...settings } = optimizer;
      const [{ decay: emaDecay, warmup: emaWarmup }] = averages;
      const earlier = { data: earlierData, training: earlierTraining };
      const earlierOptimizer = { ...settings, emaDecay, emaWarmup };
      await writeFile(path, JSON.stringify({ ...rest, ...earlier, optimizer: earlierOptimizer }));
    });

    test('goes on without them', async () => {
      // Twice: the first time writes the options into the file.
      for (const time of [1, 2]) {
        const config = resolveTrainConfig([await defaultsOfRun(runPath), ...TINY_LAYERS]);
        expect({ time, ...config.data }).toMatchObject({
          ...{ time, balanceClasses: false, background: 'drop', orientation: 'ignore' },
          endings: ['.jpg', '.jpeg', '.png', '.tif', '.tiff', '.webp'],
        });
        await bindConfig(runPath, config, '1.2.3');
      }
    });

    test('does not take another value', async () => {
      expect(
        await messageOf(bind(layerOf('data.balanceClasses', true), layerOf('data.background', 'drop'))),
      ).toContain('data.balanceClasses = false');
      expect(await messageOf(bind(layerOf('data.background', 'white')))).toMatchInlineSnapshot(`
        "ConfigError: ROOT/mine: this run was started with data.background = "drop", not "white"
          fix: leave the option out, as in npx udit train --resume "ROOT/mine", or start another run with --name"
      `);
    });
  });

  test('is the default for options whose default has changed', async () => {
    expect(await defaultsOfRun(join(root, 'none'))).toEqual({});
    await bind();
    expect(await defaultsOfRun(runPath)).toEqual({
      data: { background: 'white', orientation: 'follow', endings: 'all' },
    });
  });

  test.each([
    ['{"model": ', 'is not valid JSON'],
    ['null', 'is not the configuration of a run'],
    ['{}', 'this run was started with model = (nothing)'],
  ])('a damaged file: %s', async (text, problem) => {
    await writeFile(join(runPath, 'config.json'), text);
    expect(await messageOf(bind())).toContain(problem);
  });

  test('a damaged file is not replaced', async () => {
    await writeFile(join(runPath, 'config.json'), '{"model": ');
    expect(await messageOf(bind())).toMatchInlineSnapshot(`
      "ConfigError: ROOT/mine/config.json: is not valid JSON
        fix: restore it, or start another run with --name"
    `);
    expect(await readFile(join(runPath, 'config.json'), 'utf8')).toBe('{"model": ');
  });
});
