import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type LockHolder, withLock } from './lock-file-node.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit lock '));
  path = join(folder, 'work.lock');
});
afterEach(() => rm(folder, { recursive: true }));

/** Process id of a process that has ended. */
function endedProcess(): number {
  return spawnSync(process.execPath, ['--version']).pid;
}

const held = (processId: number, host = hostname(), startedAt = performance.timeOrigin) =>
  writeFile(path, JSON.stringify({ processId, host, startedAt }));
const isFreeAfter = async (work: Promise<unknown>) => {
  await work;
  return (await readdir(folder)).length === 0;
};

test('one works, the others wait, and the lock is gone at the end', async () => {
  const events: string[] = [];
  const waits: number[] = [];
  const work = (name: string) =>
    withLock(path, { onWait: ({ processId }) => waits.push(processId) }, async () => {
      events.push(`${name} begins`);
      await sleep(20);
      events.push(`${name} ends`);
    });
  expect(await isFreeAfter(Promise.all(['a', 'b', 'c'].map(work)))).toBe(true);
  expect(events.filter((_, i) => i % 2 === 0).map((text) => text.replace('begins', 'ends'))).toEqual(
    events.filter((_, i) => i % 2 === 1),
  );
  expect(events).toHaveLength(6);
  expect(waits).toEqual([process.pid, process.pid]);
});

test('who does not want to wait gives up, and leaves the other its lock', async () => {
  await held(process.pid);
  const onWait = ({ processId }: LockHolder) => {
    throw new Error(`process ${processId} has it`);
  };
  const starting = withLock(path, { onWait }, async () => expect.unreachable());
  await expect(starting).rejects.toThrow(`process ${process.pid} has it`);
  expect(await readdir(folder)).toEqual(['work.lock']);
});

test('work that fails frees the lock, too', async () => {
  await expect(withLock(path, {}, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(await readdir(folder)).toEqual([]);
});

describe('a lock that nobody holds any more', () => {
  test('of a process that was killed', async () => {
    await held(endedProcess());
    const onWait = () => expect.unreachable();
    expect(await isFreeAfter(withLock(path, { onWait }, async () => 'done'))).toBe(true);
  });

  test('of an earlier process with the same id, as after the restart of a container', async () => {
    await held(process.pid, hostname(), performance.timeOrigin - 60_000);
    const onWait = () => expect.unreachable();
    expect(await isFreeAfter(withLock(path, { onWait }, async () => 'done'))).toBe(true);
  });

  test('of another machine that gives no sign of life', async () => {
    await held(endedProcess(), 'another-machine');
    const minuteAgo = new Date(Date.now() - 60_000);
    await utimes(path, minuteAgo, minuteAgo);
    expect(await withLock(path, {}, async () => 'done')).toBe('done');
  });

  test('is taken over by one of many', async () => {
    await held(endedProcess());
    let atWork = 0;
    const work = async () => {
      expect(++atWork).toBe(1);
      await sleep(5);
      atWork--;
    };
    expect(await isFreeAfter(Promise.all(Array.from({ length: 8 }, () => withLock(path, {}, work))))).toBe(
      true,
    );
  });
});

test('a lock that was lost meanwhile is left to its new holder', async () => {
  await withLock(path, {}, () => held(1, 'another-machine'));
  expect(await readFile(path, 'utf8')).toContain('another-machine');
});

test('waiting for another machine ends when asked', async () => {
  await held(endedProcess(), 'another-machine');
  const controller = new AbortController();
  const onWait = () => controller.abort(new Error('stopped'));
  const waiting = withLock(path, { signal: controller.signal, onWait }, () => expect.unreachable());
  await expect(waiting).rejects.toThrow('stopped');
  expect(await readFile(path, 'utf8')).toContain('another-machine');
});

test('a folder that is not there', async () => {
  const missing = join(folder, 'none', 'work.lock');
  const error = await withLock(missing, {}, async () => {}).catch((thrown: Error) => thrown);
  expect((error as Error).message.replaceAll(folder, 'FOLDER')).toMatchInlineSnapshot(`
    "DataError: FOLDER/none/work.lock: cannot be written: the folder FOLDER/none does not exist
      fix: create the folder first"
  `);
});
