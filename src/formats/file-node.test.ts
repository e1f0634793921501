import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { torchStateDict } from '../../test/support/torch-writer.ts';
import { CheckpointError } from '../core/errors.ts';
import { tensorOf } from '../core/host-tensor.ts';
import { readTensors } from '../core/tensor-source.ts';
import { openTensorFile, openTorchFile, readSafetensors, writeSafetensors } from './file-node.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-file-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** The message of the expected CheckpointError, with the temporary folder named FOLDER. */
async function messageOf(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => expect.fail('no error'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return (error as CheckpointError).message.replaceAll(folder, 'FOLDER');
}

describe('writeSafetensors', () => {
  test('a disk that is really full, where a small one can be mounted', async ({ skip }) => {
    const disk = join(folder, 'disk');
    await mkdir(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk], { stdio: 'ignore' });
    } catch {
      skip('mounting a tmpfs is not allowed here');
    }
    try {
      const path = join(disk, 'w.safetensors');
      await writeSafetensors(path, new Map([['w', tensorOf('f32', [2], [1, 2])]]), { step: '1' });
      const large = new Map([['w', tensorOf('f32', [50_000], new Array(50_000).fill(1))]]);
      const message = await messageOf(writeSafetensors(path, large, { step: '2' }));
      expect(message.replace(/\d+ are free/, 'SOME are free')).toMatchInlineSnapshot(`
        "CheckpointError: FOLDER/disk/w.safetensors: the disk is full: the file needs 200104 bytes, SOME are free
          fix: free some space; the previous file, if there was one, is unchanged"
      `);
      expect((await readSafetensors(path)).metadata).toEqual({ step: '1' });
      expect(await readdir(disk)).toEqual(['w.safetensors']);
    } finally {
      execFileSync('umount', [disk]);
    }
  });

  test('a failure is one of a checkpoint', async () => {
    const path = join(folder, 'no', 'w.safetensors');
    expect(await messageOf(writeSafetensors(path, new Map(), {}))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/no/w.safetensors: cannot be written: the folder FOLDER/no does not exist
        fix: create the folder first"
    `);
  });
});

describe('readSafetensors', () => {
  const tensors = new Map([['w', tensorOf('f32', [3], [1, 2.5, -3])]]);

  test('reads what was written', async () => {
    const path = join(folder, 'w.safetensors');
    await writeSafetensors(path, tensors, { step: '9' });
    expect(await readSafetensors(path)).toEqual({ tensors, metadata: { step: '9' } });
  });

  test('a missing file, with one of a similar name', async () => {
    await writeSafetensors(join(folder, 'step-0001000.safetensors'), tensors, {});
    await writeSafetensors(join(folder, 'step-0002000.safetensors'), tensors, {});
    expect(await messageOf(readSafetensors(join(folder, 'step-002000.safetensors')))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/step-002000.safetensors: there is no such file
        fix: did you mean FOLDER/step-0002000.safetensors?"
    `);
  });

  test('a missing file in a missing folder', async () => {
    expect(await messageOf(readSafetensors(join(folder, 'no', 'x.safetensors')))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/no/x.safetensors: there is no such file
        fix: check the path"
    `);
  });

  test('a folder with checkpoints', async () => {
    await writeSafetensors(join(folder, 'step-0002000.safetensors'), tensors, {});
    await writeSafetensors(join(folder, 'step-0001000.safetensors'), tensors, {});
    expect(await messageOf(readSafetensors(folder))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER: this is a folder, not a checkpoint file
        fix: give a file in it, such as FOLDER/step-0002000.safetensors"
    `);
  });

  test('a folder without checkpoints', async () => {
    expect(await messageOf(readSafetensors(folder))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER: this is a folder, not a checkpoint file
        fix: give a .safetensors or .pt file"
    `);
  });

  test('an empty file', async () => {
    await writeFile(join(folder, 'x'), '');
    expect(await messageOf(readSafetensors(join(folder, 'x')))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/x: the file is empty
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a truncated file', async () => {
    const path = join(folder, 'w.safetensors');
    await writeSafetensors(path, tensors, {});
    await writeFile(path, (await readFile(path)).subarray(0, -5));
    expect(await messageOf(readSafetensors(path))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/w.safetensors: the file is truncated: its tensors take 12 bytes, but 7 are there
        fix: the file is damaged: copy or write it again"
    `);
  });

  test('a file of another kind', async () => {
    await writeFile(join(folder, 'page'), '<!doctype html><title>404</title>');
    expect(await messageOf(readSafetensors(join(folder, 'page')))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/page: this is not weights but an HTML or XML page
        fix: download the file itself, not the page that shows it"
    `);
  });
});

describe('openTensorFile', () => {
  const tensors = new Map([['w', tensorOf('f32', [3], [1, 2.5, -3])]]);

  test('opens either format, and closes it', async () => {
    const paths = [join(folder, 'w.safetensors'), join(folder, 'w.pt')];
    await writeSafetensors(paths[0]!, tensors, {});
    await writeFile(paths[1]!, torchStateDict(tensors));
    for (const path of paths) {
      const file = await openTensorFile(path);
      expect(await readTensors(file)).toEqual(tensors);
      await file.close();
      await expect(file.read('w')).rejects.toThrow(CheckpointError);
    }
  });

  test('a file that is shortened while it is open', async () => {
    const path = join(folder, 'w.safetensors');
    await writeSafetensors(path, tensors, {});
    const file = await openTensorFile(path);
    await truncate(path, (await stat(path)).size - 5);
    expect(await messageOf(file.read('w'))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/w.safetensors: the file ends at byte 95, it was longer when it was opened
        fix: wait until it is written completely, then try again"
    `);
    await file.close();
  });

  test('a missing file, with one of a similar name', async () => {
    await writeFile(join(folder, 'DiT-XL-2-256x256.pt'), '');
    expect(await messageOf(openTensorFile(join(folder, 'DiT-XL-2-256.pt')))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/DiT-XL-2-256.pt: there is no such file
        fix: did you mean FOLDER/DiT-XL-2-256x256.pt?"
    `);
  });

  test('a pipe', async ({ skip }) => {
    const path = join(folder, 'pipe');
    try {
      execFileSync('mkfifo', [path]);
    } catch {
      skip('there is no mkfifo here');
    }
    expect(await messageOf(openTensorFile(path))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/pipe: this is a pipe or a device, not a file with random access
        fix: copy it to a file first"
    `);
  });

  test('a damaged file is closed again', async () => {
    await writeFile(join(folder, 'x.pt'), 'PK\x03\x04');
    expect(await messageOf(openTensorFile(join(folder, 'x.pt')))).toContain('the file is cut off');
  });
});

test('openTorchFile refuses what torch.save does not write', async () => {
  await writeSafetensors(join(folder, 'w'), new Map(), {});
  expect(await messageOf(openTorchFile(join(folder, 'w')))).toMatchInlineSnapshot(`
    "CheckpointError: FOLDER/w: not a file of torch.save: it begins neither as a zip archive nor as a pickle
      fix: give a .pt file"
  `);
});
