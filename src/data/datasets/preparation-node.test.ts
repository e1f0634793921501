import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cachedOrPrepared, forEachConcurrently } from './preparation-node.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-preparation-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('cachedOrPrepared', () => {
  const prepare = vi.fn(async () => ({ manifest: { version: 1 }, pixels: Uint8Array.of(1, 2, 3) }));
  beforeEach(() => prepare.mockClear());
  const open = (
    identity: unknown,
    cacheFolder: string | null = folder,
    onWarning?: (message: string) => void,
  ) => cachedOrPrepared('thing', identity, { cacheFolder, ...(onWarning && { onWarning }) }, prepare);

  it('prepares once per identity', async () => {
    await open({ size: 1 });
    const again = await open({ size: 1 });
    expect(prepare).toHaveBeenCalledTimes(1);
    expect(again.manifest).toEqual({ version: 1 });
    expect([...again.pixels]).toEqual([1, 2, 3]);
    await open({ size: 2 });
    expect(prepare).toHaveBeenCalledTimes(2);
  });

  it('prepares again, and mends the file, when it is damaged', async () => {
    await open({ size: 1 });
    await truncate(join(folder, (await readdir(folder))[0]!), 40);
    await open({ size: 1 });
    await open({ size: 1 });
    expect(prepare).toHaveBeenCalledTimes(2);
  });

  it('prepares, with a warning, for a user without a home folder', async () => {
    for (const name of ['UDIT_CACHE', 'XDG_CACHE_HOME', 'LOCALAPPDATA', 'HOME', 'USERPROFILE'])
      vi.stubEnv(name, '');
    const warnings: string[] = [];
    await cachedOrPrepared('thing', {}, { onWarning: (message) => warnings.push(message) }, prepare);
    vi.unstubAllEnvs();
    expect(prepare).toHaveBeenCalledOnce();
    expect(warnings).toEqual([
      'prepared pictures could not be kept: cache: the user has no home folder for it',
    ]);
  });

  it('keeps nothing without a folder', async () => {
    await open({ size: 1 }, null);
    await open({ size: 1 }, null);
    expect(prepare).toHaveBeenCalledTimes(2);
  });

  it('goes on with a warning when the folder cannot be written', async () => {
    const file = join(folder, 'a-file');
    await writeFile(file, '');
    const warnings: string[] = [];
    const { pixels } = await open({ size: 1 }, join(file, 'inside'), (message) => warnings.push(message));
    expect([...pixels]).toEqual([1, 2, 3]);
    expect(warnings).toEqual([
      expect.stringMatching(
        /^prepared pictures could not be kept: .*: there is a file where a folder is needed$/,
      ),
    ]);
  });
});

describe('forEachConcurrently', () => {
  it('runs every task once, several at a time', async () => {
    const done: number[] = [];
    let running = 0;
    let most = 0;
    await forEachConcurrently(50, async (index) => {
      most = Math.max(most, ++running);
      await new Promise(setImmediate);
      running--;
      done.push(index);
    });
    expect(done.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(most).toBeGreaterThan(1);
  });

  it('stops at the first failure', async () => {
    const started: number[] = [];
    const run = forEachConcurrently(1000, async (index) => {
      started.push(index);
      await Promise.resolve();
      if (index === 3) throw new Error('third');
    });
    await expect(run).rejects.toThrow('third');
    // Every worker is at its first or second task by then.
    expect(started.length).toBeLessThanOrEqual(4 * availableParallelism() + 4);
  });
});
