import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type LockHolder, type LockSurroundings, withLock } from './lock-file-node.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit lock '));
  path = join(folder, 'work.lock');
});
afterEach(() => rm(folder, { recursive: true }));

const HERE = 'here boot-1 pid:[1]';
const NOW = Date.now();

/** A machine with processes and a time of its own; `onPoll` is what happens elsewhere meanwhile. */
function machine({
  running = {},
  onPoll = () => {},
}: {
  running?: Record<number, string | null>;
  onPoll?: (poll: number) => unknown;
}): LockSurroundings & { polls: number } {
  const processes: Record<number, string | null> = { [process.pid]: '100', ...running };
  return {
    polls: 0,
    processes: { host: 'here', space: HERE, startOf: async (id) => processes[id] },
    now: () => NOW,
    async sleep() {
      await onPoll(++this.polls);
    },
    touchEvery: () => async () => {},
  };
}

const OTHER: LockHolder = { processId: 7, host: 'here', space: HERE, start: '42' };
const ELSEWHERE: LockHolder = { processId: 7, host: 'there', space: 'there boot-9 pid:[1]', start: '42' };

async function held(holder: LockHolder, secondsAgo = 0): Promise<void> {
  await writeFile(path, JSON.stringify(holder));
  await touched(secondsAgo);
}
const touched = (secondsAgo: number) => utimes(path, NOW / 1000 - secondsAgo, NOW / 1000 - secondsAgo);

const unwaited = { onWait: () => expect.unreachable() };

/** Takes the lock, and returns how often it looked before it had it. */
async function pollsUntilTaken(surroundings: ReturnType<typeof machine>): Promise<number> {
  await withLock(path, { ...unwaited, surroundings }, async () => {});
  expect(await readdir(folder)).toEqual([]);
  return surroundings.polls;
}

test('one works, the others wait, and the lock is gone at the end', async () => {
  const events: string[] = [];
  const waits: number[] = [];
  const work = (name: string) =>
    withLock(path, { onWait: ({ processId }) => waits.push(processId) }, async () => {
      events.push(`${name} begins`);
      while (waits.length < 2) await new Promise(setImmediate); // until both others have found the lock
      events.push(`${name} ends`);
    });
  await Promise.all(['a', 'b', 'c'].map(work));
  expect(await readdir(folder)).toEqual([]);
  expect(events.filter((_, i) => i % 2 === 0).map((text) => text.replace('begins', 'ends'))).toEqual(
    events.filter((_, i) => i % 2 === 1),
  );
  expect(events).toHaveLength(6);
  expect(waits).toEqual([process.pid, process.pid]);
});

test('who does not want to wait gives up, and leaves the other its lock', async () => {
  await held(OTHER);
  const onWait = ({ processId }: LockHolder) => {
    throw new Error(`process ${processId} has it`);
  };
  const surroundings = machine({ running: { 7: '42' } });
  const starting = withLock(path, { onWait, surroundings }, async () => expect.unreachable());
  await expect(starting).rejects.toThrow('process 7 has it');
  expect(await readdir(folder)).toEqual(['work.lock']);
});

test('work that fails frees the lock, too', async () => {
  await expect(withLock(path, {}, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(await readdir(folder)).toEqual([]);
});

describe('a process that is seen here', () => {
  test('keeps its lock while it runs, however long it gives no sign of life', async () => {
    await held(OTHER, 86_400);
    const released = 1_000;
    const surroundings = machine({
      running: { 7: '42' },
      onPoll: (poll) => poll === released && rm(path),
    });
    await withLock(path, { surroundings }, async () => {});
    expect(surroundings.polls).toBe(released);
  });

  test('has no lock once it has ended', async () => {
    await held(OTHER);
    expect(await pollsUntilTaken(machine({}))).toBe(0);
  });

  test('has not the lock of an earlier one of its id, as after the restart of a container', async () => {
    await held({ ...OTHER, processId: process.pid });
    expect(await pollsUntilTaken(machine({}))).toBe(0);
    await held(OTHER);
    expect(await pollsUntilTaken(machine({ running: { 7: '43' } }))).toBe(0);
  });

  test('is one of many that take over', async () => {
    await held(OTHER);
    let atWork = 0;
    const work = async () => {
      expect(++atWork).toBe(1);
      await new Promise(setImmediate);
      atWork--;
    };
    const surroundings = machine({ onPoll: () => new Promise(setImmediate) });
    await Promise.all(Array.from({ length: 8 }, () => withLock(path, { surroundings }, work)));
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('a process that is not seen here', () => {
  const SILENT_POLLS = 150;

  test('keeps its lock while it gives signs of life, whatever its clock says', async () => {
    await held(ELSEWHERE, 300);
    const waits: LockHolder[] = [];
    const surroundings = machine({
      onPoll: (poll) => (poll === 1_000 ? rm(path) : poll % 25 === 0 && touched(300 - poll / 5)),
    });
    await withLock(path, { surroundings, onWait: (holder) => waits.push(holder) }, async () => {});
    expect(surroundings.polls).toBe(1_000);
    expect(waits).toEqual([ELSEWHERE]);
  });

  test('has lost it when nothing is heard of it for half a minute', async () => {
    await held(ELSEWHERE, -20);
    const surroundings = machine({});
    await withLock(path, { surroundings }, async () => {});
    expect(surroundings.polls).toBe(SILENT_POLLS);
  });

  test('has lost it long ago', async () => {
    await held(ELSEWHERE, 3_600);
    expect(await pollsUntilTaken(machine({}))).toBe(0);
  });

  test('of this machine before its restart is taken over without a word', async () => {
    await held({ ...OTHER, space: 'here boot-0 pid:[1]' });
    expect(await pollsUntilTaken(machine({ running: { 7: '42' } }))).toBe(SILENT_POLLS);
  });

  test('of another container of this machine is heard before it is told', async () => {
    await held({ ...OTHER, space: 'here boot-1 pid:[2]' });
    const onWait = ({ processId }: LockHolder) => {
      throw new Error(`process ${processId} has it`);
    };
    const surroundings = machine({ onPoll: (poll) => poll === 20 && touched(-1) });
    const starting = withLock(path, { onWait, surroundings }, async () => expect.unreachable());
    await expect(starting).rejects.toThrow('process 7 has it');
    expect(surroundings.polls).toBe(20);
  });

  test('nor is one whose start the system does not tell', async () => {
    await held({ ...OTHER, start: null });
    expect(await pollsUntilTaken(machine({ running: { 7: null } }))).toBe(SILENT_POLLS);
    await held({ ...OTHER, start: null });
    expect(await pollsUntilTaken(machine({}))).toBe(0);
  });

  test('nor one whose lock says nothing, for the disk was full', async () => {
    await writeFile(path, '');
    await touched(0);
    expect(await pollsUntilTaken(machine({}))).toBe(SILENT_POLLS);
  });

  test('is waited for only as long as one likes', async () => {
    await held(ELSEWHERE);
    const controller = new AbortController();
    const onWait = () => controller.abort(new Error('stopped'));
    const options = { signal: controller.signal, onWait, surroundings: machine({}) };
    await expect(withLock(path, options, () => expect.unreachable())).rejects.toThrow('stopped');
    expect(await readFile(path, 'utf8')).toContain('there');
  });
});

describe('a lock that is lost', () => {
  const message = (work: () => Promise<unknown>) =>
    withLock(path, { surroundings: machine({}) }, async ({ expectHeld }) => {
      await expectHeld();
      await work();
      return expectHeld();
    }).then(
      () => expect.unreachable(),
      (error: Error) => error.message.replaceAll(folder, 'FOLDER'),
    );

  test('is noticed, and left to its new holder', async () => {
    expect(await message(() => held(ELSEWHERE))).toMatchInlineSnapshot(`
      "DataError: FOLDER/work.lock: the lock was taken by process 7 of host there
        fix: nothing more is written here; start the command again once nobody else works in this folder"
    `);
    expect(await readFile(path, 'utf8')).toBe(JSON.stringify(ELSEWHERE));
  });

  test('is noticed when nobody has it', async () => {
    expect(await message(() => rm(path))).toMatchInlineSnapshot(`
      "DataError: FOLDER/work.lock: the lock was removed
        fix: nothing more is written here; start the command again once nobody else works in this folder"
    `);
  });

  test('is another one, though of the same process', async () => {
    const surroundings = machine({});
    await withLock(path, { surroundings }, async ({ expectHeld }) => {
      await rm(path);
      await withLock(path, { surroundings }, () => expect(expectHeld()).rejects.toThrow('was taken by'));
    });
  });

  test('is not one that was looked at by another process', async () => {
    await withLock(path, { surroundings: machine({}) }, async () => {});
    let text = '';
    const surroundings = machine({ onPoll: () => writeFile(path, text) });
    const work = withLock(path, { surroundings }, async ({ expectHeld }) => {
      text = await readFile(path, 'utf8');
      await rm(path);
      await expectHeld();
      return 'done';
    });
    expect(await work).toBe('done');
  });
});

test('is touched by a thread while the main thread computes', async () => {
  // The main thread of this process does nothing else while its lock is untouched, and would do so forever.
  const program = `
    import { statSync } from 'node:fs';
    import { withLock } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, 'lock-file-node.ts')).href)};
    const path = process.argv[1];
    await withLock(path, {}, async () => {
      const { mtimeMs } = statSync(path);
      const pause = new Int32Array(new SharedArrayBuffer(4));
      while (statSync(path).mtimeMs === mtimeMs) Atomics.wait(pause, 0, 0, 50);
      console.log('touched');
    });`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program, path]);
  const output: Buffer[] = [];
  child.stdout.on('data', (bytes) => output.push(bytes));
  child.stderr.on('data', (bytes) => output.push(bytes));
  await once(child, 'close');
  expect(String(Buffer.concat(output))).toBe('touched\n');
  expect(await readdir(folder)).toEqual([]);
}, 120_000);

test('a process that has lost its lock does not touch that of another', async () => {
  const files: FileHandle[] = [];
  const surroundings = {
    ...machine({}),
    touchEvery: (_: number, file: FileHandle) => {
      files.push(file);
      return async () => {};
    },
  };
  await withLock(path, { surroundings }, async () => {
    await rm(path);
    await held(ELSEWHERE, 100);
    const { mtimeMs } = await stat(path);
    await files[0]!.utimes(0, 0);
    expect((await stat(path)).mtimeMs).toBe(mtimeMs);
  });
});

test('a process that was killed keeps nobody waiting', async () => {
  const program = `
    import { withLock } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, 'lock-file-node.ts')).href)};
    await withLock(process.argv[1], {}, async () => process.kill(process.pid, 'SIGKILL'));`;
  spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program, path]);
  expect(await readdir(folder)).toEqual(['work.lock']);
  expect(await withLock(path, unwaited, async () => 'done')).toBe('done');
});

test('a folder that is not there', async () => {
  const missing = join(folder, 'none', 'work.lock');
  const error = await withLock(missing, {}, async () => {}).catch((thrown: Error) => thrown);
  expect((error as Error).message.replaceAll(folder, 'FOLDER')).toMatchInlineSnapshot(`
    "DataError: FOLDER/none/work.lock: cannot be written: the folder FOLDER/none does not exist
      fix: create the folder first"
  `);
});
