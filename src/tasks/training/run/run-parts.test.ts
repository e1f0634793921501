import { link, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { tinyConfig } from '../../../../test/support/tiny-training.ts';
import { bindConfig } from './run-config.ts';
import { RunFolder } from './run-folder.ts';
import { runPartAt } from './run-parts.ts';

let root: string;
let run: RunFolder;
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'udit run ')));
  run = await RunFolder.open(join(root, 'mine'));
  await bindConfig(run.path, tinyConfig(), '1.2.3');
});
afterEach(() => rm(root, { recursive: true }));

const inRun = (...parts: readonly string[]) => join(run.path, ...parts);

describe('a run', () => {
  test.each([
    ['the folder itself', ['checkpoints']],
    ['a new file', ['checkpoints', 'model.onnx']],
    ['a new folder', ['checkpoints', 'new', 'model.onnx']],
    ['a way around', ['samples', '..', 'checkpoints', 'model.onnx']],
  ])('has checkpoints that nothing else is written beside: %s', async (_, parts) => {
    expect(await runPartAt(inRun(...parts))).toBe(run.checkpoints);
    expect(await runPartAt(relative(process.cwd(), inRun(...parts)))).toBe(run.checkpoints);
  });

  test('keeps them behind links in both directions', async () => {
    await symlink(run.checkpoints, join(root, 'linked'));
    expect(await runPartAt(join(root, 'linked', 'new', 'model.onnx'))).toBe(run.checkpoints);
    await writeFile(run.checkpointAt(10), '');
    await symlink(run.checkpointAt(10), join(root, 'model.safetensors'));
    expect(await runPartAt(join(root, 'model.safetensors'))).toBe(run.checkpoints);

    await rm(run.checkpoints, { recursive: true });
    await mkdir(join(root, 'large disk'));
    await symlink(join(root, 'large disk'), run.checkpoints);
    expect(await runPartAt(inRun('checkpoints', 'model.onnx'))).toBe(run.checkpoints);
  });

  test('is known by its checkpoints where its configuration was lost', async () => {
    await rm(inRun('config.json'));
    expect(await runPartAt(inRun('checkpoints', 'model.onnx'))).toBeUndefined();
    await writeFile(run.checkpointAt(10), '');
    expect(await runPartAt(inRun('checkpoints', 'model.onnx'))).toBe(run.checkpoints);
  });

  test('needs its configuration and its measurements', async () => {
    await writeFile(run.stats, '');
    expect(await runPartAt(inRun('config.json'))).toBe(inRun('config.json'));
    expect(await runPartAt(run.stats)).toBe(run.stats);
    await link(run.stats, inRun('other name'));
    expect(await runPartAt(inRun('other name'))).toBe(run.stats);
  });

  test('leaves the rest of its folder to everybody', async () => {
    for (const name of ['model.onnx', 'samples/mine.png', 'checkpoints.onnx', 'new/checkpoints/model.onnx']) {
      expect(await runPartAt(inRun(name)), name).toBeUndefined();
    }
  });
});

test('a folder of other programs may be called checkpoints', async () => {
  await mkdir(join(root, 'checkpoints'));
  await writeFile(join(root, 'config.json'), '{"learning_rate": 1}');
  await writeFile(join(root, 'checkpoints', 'epoch-1.safetensors'), '');
  expect(await runPartAt(join(root, 'checkpoints', 'model.onnx'))).toBeUndefined();
  expect(await runPartAt(join(root, 'config.json'))).toBeUndefined();
});
