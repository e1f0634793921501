import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CheckpointError, DataError } from '../../core/errors.ts';
import {
  contentOf,
  type FileContent,
  removeLeftoverTemporaries,
  writeFileAtomic,
  writeFilesAtomic,
} from './atomic-write-node.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-atomic-'));
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true, force: true });
});

const chunksOf = (...texts: string[]): Uint8Array[] => texts.map((text) => new TextEncoder().encode(text));

/** The message of the expected DataError, with the temporary folder named FOLDER. */
async function messageOf(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => expect.fail('no error'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DataError);
  return (error as DataError).message.replaceAll(folder, 'FOLDER');
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
      "DataError: FOLDER/state: the disk is full: the file needs 123 bytes, SOME are free
        fix: free some space; the previous file, if there was one, is unchanged"
    `);
    expect(await readFile(path, 'utf8')).toBe('previous');
    expect(await readdir(folder)).toEqual(['state']);
  });

  test('a folder that is not there', async () => {
    expect(await messageOf(writeFileAtomic(join(folder, 'no', 'x'), []))).toMatchInlineSnapshot(`
      "DataError: FOLDER/no/x: cannot be written: the folder FOLDER/no does not exist
        fix: create the folder first"
    `);
  });

  test('a folder in the place of the file', async () => {
    await mkdir(join(folder, 'x', 'y'), { recursive: true });
    expect(await messageOf(writeFileAtomic(join(folder, 'x'), []))).toMatchInlineSnapshot(`
      "DataError: FOLDER/x: cannot be written: it is a folder
        fix: give the name of a file"
    `);
    expect(await readdir(folder)).toEqual(['x']);
  });

  test('any other failure is named by its code', async () => {
    await writeFile(join(folder, 'file'), '');
    expect(await messageOf(writeFileAtomic(join(folder, 'file', 'x'), []))).toMatchInlineSnapshot(`
      "DataError: FOLDER/file/x: cannot be written (ENOTDIR)
        fix: check that you may write into FOLDER/file"
    `);
  });

  test('the failure is of the kind that the caller speaks of', async () => {
    const writing = writeFileAtomic(join(folder, 'no', 'x'), [], CheckpointError);
    await expect(writing).rejects.toThrow(CheckpointError);
  });
});

describe('what processes leave half-written', () => {
  /** Runs `program` with the functions here until it kills itself. */
  function runKilled(program: string): void {
    const here = JSON.stringify(new URL('./atomic-write-node.ts', import.meta.url).href);
    const script = `
      import { contentOf, writeFileAtomic, writeFilesAtomic } from ${here};
      const folder = ${JSON.stringify(folder)};
      const killed = async () => process.kill(process.pid, 'SIGKILL');
      ${program}`;
    const run = () =>
      execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
        stdio: 'ignore',
      });
    expect(run).toThrow(expect.objectContaining({ signal: 'SIGKILL' }));
  }

  /** A file, and a folder with one. */
  async function writeLeftovers(processId: number): Promise<string[]> {
    const [file, parts] = [`.state.${processId}-0.tmp`, `.model.onnx.${processId}-1.tmp`];
    await writeFile(join(folder, file), '');
    await mkdir(join(folder, parts));
    await writeFile(join(folder, parts, 'model.onnx'), '');
    return [parts, file];
  }

  test('as a file is removed, and nothing else', async () => {
    await writeFile(join(folder, 'state.safetensors'), 'previous');
    await writeFile(join(folder, '.hidden'), '');
    runKilled(`
      import { open } from 'node:fs/promises';
      const probe = await open(folder, 'r');
      Object.getPrototypeOf(probe).sync = killed;
      await writeFileAtomic(folder + '/state.safetensors', [new Uint8Array(10)]);`);
    expect(await readdir(folder)).toHaveLength(3);

    await removeLeftoverTemporaries(folder);
    expect((await readdir(folder)).sort()).toEqual(['.hidden', 'state.safetensors']);
    expect(await readFile(join(folder, 'state.safetensors'), 'utf8')).toBe('previous');
  });

  test('as a folder of files is removed, by the next write of the same files too', async () => {
    const program =
      "await writeFilesAtomic(folder, new Map([['model', contentOf([new Uint8Array(10)])]]), killed);";
    runKilled(program);
    expect(await readdir(folder)).toEqual([expect.stringMatching(/^\.model\.\d+-0\.tmp$/)]);
    await removeLeftoverTemporaries(folder);
    expect(await readdir(folder)).toEqual([]);

    runKilled(program);
    await writeFilesAtomic(folder, new Map([['other', contentOf([])]]), async () => {});
    expect(await readdir(folder)).toHaveLength(2);
    await writeFilesAtomic(folder, new Map([['model', contentOf([])]]), async () => {});
    expect(await readdir(folder)).toEqual(['model', 'other']);
  });

  test('stays while its process runs', async () => {
    const left = await writeLeftovers(process.ppid);
    await removeLeftoverTemporaries(folder);
    expect(await readdir(folder)).toEqual(left);
  });

  test('by an earlier process with our id is told apart from our own', async () => {
    await writeLeftovers(process.pid);
    let during: string[] = [];
    await writeFilesAtomic(folder, new Map([['new', contentOf([])]]), async () => {
      await removeLeftoverTemporaries(folder);
      during = await readdir(folder);
    });
    expect(during).toEqual([expect.stringMatching(/^\.new\./)]);
    expect(await readdir(folder)).toEqual(['new']);
  });
});

describe('writeFilesAtomic', () => {
  const files = (...texts: string[]) =>
    new Map(texts.map((text, i) => [`part${i}`, contentOf(chunksOf(text.slice(0, 2), text.slice(2)))]));

  test('shows the files to be accepted under their names, then moves them', async () => {
    await writeFile(join(folder, 'part0'), 'old');
    await writeFilesAtomic(folder, files('first', 'second'), async (shown) => {
      expect(await readFile(join(shown, 'part0'), 'utf8')).toBe('first');
      expect(await readFile(join(shown, 'part1'), 'utf8')).toBe('second');
      expect(await readFile(join(folder, 'part0'), 'utf8')).toBe('old');
    });
    expect(await readFile(join(folder, 'part0'), 'utf8')).toBe('first');
    expect(await readdir(folder)).toEqual(['part0', 'part1']);
  });

  test('what is refused leaves everything as it was, and its own error', async () => {
    await writeFile(join(folder, 'part0'), 'old');
    const refused = writeFilesAtomic(folder, files('new'), () => Promise.reject(new RangeError('no')));
    await expect(refused).rejects.toThrow(new RangeError('no'));
    expect(await readFile(join(folder, 'part0'), 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['part0']);
  });

  test('content may come in any order, and its failure is its own', async () => {
    const backwards: FileContent = {
      byteLength: 6,
      async fill(write) {
        for (const [position, text] of [
          [3, 'def'],
          [0, 'abc'],
        ] as const)
          await write(chunksOf(text)[0]!, position);
      },
    };
    await writeFilesAtomic(folder, new Map([['part0', backwards]]), async () => {});
    expect(await readFile(join(folder, 'part0'), 'utf8')).toBe('abcdef');
    const broken = {
      ...backwards,
      fill: () => Promise.reject(new CheckpointError({ where: 'w', problem: 'p' })),
    };
    const written = writeFilesAtomic(folder, new Map([['part0', broken]]), async () => {});
    await expect(written).rejects.toThrow(CheckpointError);
    expect(await readdir(folder)).toEqual(['part0']);
  });

  test('a folder that is not there', async () => {
    const written = writeFilesAtomic(join(folder, 'absent'), files('new'), async () => {});
    expect(await messageOf(written)).toMatchInlineSnapshot(`
      "DataError: FOLDER/absent/part0: cannot be written: the folder FOLDER/absent does not exist
        fix: create the folder first"
    `);
  });
});
