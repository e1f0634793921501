import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { endedProcess } from '../../../../test/support/ended-process.ts';
import { writeSafetensors } from '../../../formats/file-node.ts';
import { RunFolder } from './run-folder.ts';

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
