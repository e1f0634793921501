import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CheckpointError } from '../core/errors.ts';
import { tensorOf } from '../core/host-tensor.ts';
import {
  readSafetensors,
  removeLeftoverTemporaries,
  writeFileAtomic,
  writeSafetensors,
} from './file-node.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-file-'));
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true, force: true });
});

const chunksOf = (...texts: string[]): Uint8Array[] => texts.map((text) => new TextEncoder().encode(text));

/** The message of the expected CheckpointError, with the temporary folder named FOLDER. */
async function messageOf(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => expect.fail('no error'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return (error as CheckpointError).message.replaceAll(folder, 'FOLDER');
}

describe('writeFileAtomic', () => {
  test('creates and replaces a file and leaves nothing beside it', async () => {
    const path = join(folder, 'state');
    await writeFileAtomic(path, chunksOf('first'));
    await writeFileAtomic(path, chunksOf('second, ', '', 'longer'));
    expect(await readFile(path, 'utf8')).toBe('second, longer');
    expect(await readdir(folder)).toEqual(['state']);
  });

  test('goes on after a write that took only a part', async () => {
    const probe = await open(join(folder, 'probe'), 'w');
    const prototype = Object.getPrototypeOf(probe);
    await probe.close();
    const write = prototype.write;
    vi.spyOn(prototype, 'write').mockImplementation(function (this: unknown, ...args: unknown[]) {
      const [chunk, offset, length] = args as [Uint8Array, number, number];
      return write.call(this, chunk, offset, Math.min(length, 3));
    });
    await writeFileAtomic(join(folder, 'state'), chunksOf('ten bytes.', 'more'));
    expect(await readFile(join(folder, 'state'), 'utf8')).toBe('ten bytes.more');
  });

  test('a disk that fills up leaves the previous file and no temporary one', async () => {
    const path = join(folder, 'state');
    await writeFileAtomic(path, chunksOf('previous'));
    const probe = await open(path, 'r');
    const prototype = Object.getPrototypeOf(probe);
    await probe.close();
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    vi.spyOn(prototype, 'write').mockRejectedValue(full);

    const message = await messageOf(writeFileAtomic(path, chunksOf('x'.repeat(100), 'y'.repeat(23))));
    expect(message.replace(/\d+ are free/, 'SOME are free')).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/state: the disk is full: the file needs 123 bytes, SOME are free
        fix: free some space; the previous file, if there was one, is unchanged"
    `);
    expect(await readFile(path, 'utf8')).toBe('previous');
    expect(await readdir(folder)).toEqual(['state']);
  });

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

  test('a folder that is not there', async () => {
    expect(await messageOf(writeFileAtomic(join(folder, 'no', 'x'), []))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/no/x: cannot be written: the folder FOLDER/no does not exist
        fix: create the folder first"
    `);
  });

  test('a folder in the place of the file', async () => {
    await mkdir(join(folder, 'x', 'y'), { recursive: true });
    expect(await messageOf(writeFileAtomic(join(folder, 'x'), []))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/x: cannot be written: it is a folder
        fix: give the name of a file"
    `);
    expect(await readdir(folder)).toEqual(['x']);
  });

  test('any other failure is named by its code', async () => {
    await writeFile(join(folder, 'file'), '');
    expect(await messageOf(writeFileAtomic(join(folder, 'file', 'x'), []))).toMatchInlineSnapshot(`
      "CheckpointError: FOLDER/file/x: cannot be written (ENOTDIR)
        fix: check that you may write into FOLDER/file"
    `);
  });
});

test('temporary files of killed processes are removed, and nothing else', async () => {
  const script = `
    import { writeFileAtomic } from ${JSON.stringify(new URL('./file-node.ts', import.meta.url).href)};
    import { open } from 'node:fs/promises';
    const probe = await open(${JSON.stringify(folder)}, 'r');
    Object.getPrototypeOf(probe).sync = async () => process.kill(process.pid, 'SIGKILL');
    await writeFileAtomic(${JSON.stringify(join(folder, 'state.safetensors'))}, [new Uint8Array(10)]);`;
  await writeFile(join(folder, 'state.safetensors'), 'previous');
  await writeFile(join(folder, '.hidden'), '');
  const run = () =>
    execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: 'ignore',
    });
  expect(run).toThrow(expect.objectContaining({ signal: 'SIGKILL' }));
  expect(await readdir(folder)).toHaveLength(3);

  expect(await removeLeftoverTemporaries(folder)).toHaveLength(1);
  expect((await readdir(folder)).sort()).toEqual(['.hidden', 'state.safetensors']);
  expect(await readFile(join(folder, 'state.safetensors'), 'utf8')).toBe('previous');
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
        fix: give a .safetensors file"
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
      "CheckpointError: FOLDER/page: not a safetensors file, but an HTML or XML page
        fix: download the file itself, not the page that shows it"
    `);
  });
});
