import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { endedProcess } from '../../../../test/support/ended-process.ts';
import { TINY_LAYERS, tinyConfig } from '../../../../test/support/tiny-training.ts';
import { writeSafetensors } from '../../../formats/file-node.ts';
import { type ConfigLayer, layerOf } from '../config/config-layer.ts';
import { resolveTrainConfig } from '../config/train-config.ts';
import { defaultsOfRun, RunFolder } from './run-folder.ts';

let root: string;
let folder: RunFolder;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'udit run '));
  folder = await RunFolder.open(join(root, 'runs', 'mine'));
});
afterEach(() => rm(root, { recursive: true }));

const stepsIn = async () => (await folder.listCheckpoints()).map(({ step }) => step);

async function writeCheckpoints(...steps: readonly number[]): Promise<void> {
  for (const step of steps) {
    await writeSafetensors(folder.checkpointAt(step), new Map(), { step: String(step) });
  }
}

/** The message with the temporary folder named ROOT. */
async function messageOf(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => expect.fail('no error'),
    (reason: unknown) => reason,
  );
  return (error as Error).message.replaceAll(root, 'ROOT');
}

describe('opening', () => {
  test('clears away what a killed process left half-written, and nothing else', async () => {
    const writer = endedProcess();
    for (const part of [folder.path, folder.samples, folder.checkpoints]) {
      await writeFile(join(part, `.step-0000010.safetensors.${writer}-0.tmp`), '');
      await mkdir(join(part, `.model.onnx.${writer}-1.tmp`, 'parts'), { recursive: true });
    }
    await writeFile(join(folder.path, 'notes.tmp'), '');
    await RunFolder.open(folder.path);
    expect((await readdir(folder.path)).sort()).toEqual(['checkpoints', 'notes.tmp', 'samples']);
    for (const part of [folder.samples, folder.checkpoints]) expect(await readdir(part)).toEqual([]);
  });

  test('a file in the place of the folder', async () => {
    await writeFile(join(root, 'occupied'), '');
    expect(await messageOf(RunFolder.open(join(root, 'occupied')))).toMatchInlineSnapshot(`
      "ConfigError: ROOT/occupied/samples: there is a file where a folder is needed
        fix: choose a writable folder with --results-dir"
    `);
  });
});

describe('checkpoints', () => {
  test('are listed by step, counted as numbers', async () => {
    await writeCheckpoints(20, 3, 12_345_678);
    await writeFile(join(folder.checkpoints, 'step-1.safetensors'), '');
    for (const name of ['old', 'step-0000030.safetensors']) await mkdir(join(folder.checkpoints, name));
    expect(await stepsIn()).toEqual([3, 20, 12_345_678]);
  });

  test('the last ones are kept, and every n-th', async () => {
    await writeCheckpoints(10, 20, 30, 40, 50);
    await folder.prune(50, { keepLast: 2, keepEvery: 20 });
    expect(await stepsIn()).toEqual([20, 40, 50]);
    await folder.prune(50, { keepLast: 1, keepEvery: null });
    expect(await stepsIn()).toEqual([50]);
  });

  test('damaged later ones do not take the place of good ones', async () => {
    await writeCheckpoints(10, 20, 30);
    for (const step of [40, 50]) await writeFile(folder.checkpointAt(step), 'damaged');
    await folder.prune(30, { keepLast: 2, keepEvery: null });
    expect(await stepsIn()).toEqual([20, 30, 40, 50]);
  });

  test('the latest that can be read is used, and the others are named', async () => {
    await writeCheckpoints(10, 20);
    await writeFile(folder.checkpointAt(30), '');
    const warnings: string[] = [];
    const latest = await folder.latestCheckpoint((message) =>
      warnings.push(message.replaceAll(root, 'ROOT')),
    );
    expect(latest).toMatchObject({ step: 20, file: { metadata: { step: '20' } } });
    await latest!.file.close();
    expect(warnings.join('\n')).toMatchInlineSnapshot(
      `"ROOT/runs/mine/checkpoints/step-0000030.safetensors: the file is empty; an earlier checkpoint is used, if there is one"`,
    );
  });

  test('there need not be any', async () => {
    expect(await folder.latestCheckpoint(() => expect.fail('a warning'))).toBeUndefined();
  });
});

describe('the configuration of a run', () => {
  const bind = (...changes: readonly ConfigLayer[]) => folder.bindConfig(tinyConfig(...changes), '1.2.3');

  test('is written with the version', async () => {
    await bind();
    const written = JSON.parse(await readFile(join(folder.path, 'config.json'), 'utf8'));
    expect(written).toEqual({ ...tinyConfig(), uditVersion: '1.2.3' });
  });

  test('what does not decide the result may change, and is written anew', async () => {
    await bind();
    await bind(layerOf('logging.ckptEvery', 7));
    const written = JSON.parse(await readFile(join(folder.path, 'config.json'), 'utf8'));
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
      "ConfigError: ROOT/runs/mine: this run was started with model.depth = [1,1,1,1,1], not [1,1,2,1,1]
        fix: leave the option out to continue the run, or start another with --name"
    `);
    expect(await messageOf(bind(layerOf('model.numClasses', 9)))).toMatchInlineSnapshot(`
      "ConfigError: ROOT/runs/mine: this run was started with model.numClasses = (nothing), not 9
        fix: leave the option out to continue the run, or start another with --name"
    `);
  });

  test('more steps are another run with a cosine, which ends at zero, and the same one without', async () => {
    await bind();
    expect(await messageOf(bind(layerOf('training.steps', 40)))).toMatchInlineSnapshot(`
      "ConfigError: ROOT/runs/mine: this run was started with training.steps = 20, not 40
        fix: leave the option out to continue the run, or start another with --name"
    `);
    const constant = await RunFolder.open(join(root, 'constant'));
    for (const steps of [20, 40]) {
      const layers = [layerOf('optimizer.schedule', 'constant'), layerOf('training.steps', steps)];
      await constant.bindConfig(tinyConfig(...layers), '1.2.3');
    }
  });

  describe('of a version that had fewer options', () => {
    beforeEach(async () => {
      await bind(layerOf('data.background', 'drop'));
      const path = join(folder.path, 'config.json');
      const { data, training, optimizer, averages, ...rest } = JSON.parse(await readFile(path, 'utf8'));
      const { balanceClasses: _, background: __, ...earlierData } = data;
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
        const config = resolveTrainConfig([await defaultsOfRun(folder.path), ...TINY_LAYERS]);
        expect({ time, ...config.data }).toMatchObject({ time, balanceClasses: false, background: 'drop' });
        await folder.bindConfig(config, '1.2.3');
      }
    });

    test('does not take another value', async () => {
      expect(await messageOf(bind(layerOf('data.balanceClasses', true)))).toContain(
        'data.balanceClasses = false',
      );
      expect(await messageOf(bind(layerOf('data.background', 'white')))).toMatchInlineSnapshot(`
        "ConfigError: ROOT/runs/mine: this run was started with data.background = "drop", not "white"
          fix: leave the option out to continue the run, or start another with --name"
      `);
    });
  });

  test('is the default for options whose default has changed', async () => {
    expect(await defaultsOfRun(join(root, 'none'))).toEqual({});
    await bind();
    expect(await defaultsOfRun(folder.path)).toEqual({ data: { background: 'white' } });
  });

  test.each([
    ['{"model": ', 'is not valid JSON'],
    ['null', 'is not the configuration of a run'],
    ['{}', 'this run was started with model = (nothing)'],
  ])('a damaged file: %s', async (text, problem) => {
    await writeFile(join(folder.path, 'config.json'), text);
    expect(await messageOf(bind())).toContain(problem);
  });

  test('a damaged file is not replaced', async () => {
    await writeFile(join(folder.path, 'config.json'), '{"model": ');
    expect(await messageOf(bind())).toMatchInlineSnapshot(`
      "ConfigError: ROOT/runs/mine/config.json: is not valid JSON
        fix: restore it, or start another run with --name"
    `);
    expect(await readFile(join(folder.path, 'config.json'), 'utf8')).toBe('{"model": ');
  });
});
