import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readStats, StatsLog } from './stats-log.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-stats-'));
  path = join(folder, 'stats.jsonl');
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function write(from: number, to: number): Promise<void> {
  const log = await StatsLog.open(path, from);
  for (let step = from + 1; step <= to; step++) log.append({ loss: 1 / step, step });
  log.close();
}

test('one line per record, readable before the log is closed', async () => {
  const log = await StatsLog.open(path, 0);
  log.append({ step: 1, loss: 0.5, phase: 'train', isBest: true });
  log.append({ step: 2, loss: Number.NaN });
  expect(await readFile(path, 'utf8')).toMatchInlineSnapshot(`
    "{"step":1,"loss":0.5,"phase":"train","isBest":true}
    {"step":2,"loss":null}
    "
  `);
  expect(await readStats(path)).toEqual([
    { step: 1, loss: 0.5, phase: 'train', isBest: true },
    { step: 2, loss: null },
  ]);
  log.close();
});

test('no file means no records', async () => {
  expect(await readStats(path)).toEqual([]);
});

describe('resuming', () => {
  test('10 + 10 steps give the bytes of 20, also when the first run went further than its checkpoint', async () => {
    await write(0, 20);
    const whole = await readFile(path, 'utf8');
    await rm(path);
    await write(0, 13);
    await write(10, 20);
    expect(await readFile(path, 'utf8')).toBe(whole);
  });

  test('a killed process leaves a torn line, which is neither read nor kept', async () => {
    await write(0, 3);
    await appendFile(path, '{"step":4,"lo');
    expect((await readStats(path)).map(({ step }) => step)).toEqual([1, 2, 3]);
    await write(4, 5);
    expect((await readStats(path)).map(({ step }) => step)).toEqual([1, 2, 3, 5]);
  });

  test('a torn line that happens to be complete JSON is dropped too, for it may lack digits', async () => {
    await write(0, 1);
    await appendFile(path, '{"step":2}');
    await write(2, 3);
    expect((await readStats(path)).map(({ step }) => step)).toEqual([1, 3]);
  });

  test('a file with nothing to drop is not rewritten', async () => {
    await write(0, 3);
    const { ino } = await stat(path);
    await write(3, 4);
    expect((await stat(path)).ino).toBe(ino);
  });

  test('starting anew empties the file', async () => {
    await write(0, 3);
    await write(0, 1);
    expect(await readStats(path)).toHaveLength(1);
  });
});

describe('lines that cannot be read', () => {
  const messageOf = async (content: string): Promise<string> => {
    await writeFile(path, content);
    const error = await StatsLog.open(path, 9).then(
      () => expect.fail('no error'),
      (reason: Error) => reason,
    );
    return error.message.replaceAll(folder, 'FOLDER');
  };

  test('not JSON', async () => {
    expect(await messageOf('{"step":1}\nstep 2\n{"step":3}\n')).toMatchInlineSnapshot(`
      "DataError: FOLDER/stats.jsonl:2: this line is not JSON
        fix: remove the line"
    `);
  });

  test('no step', async () => {
    expect(await messageOf('{"loss":1}\n')).toMatchInlineSnapshot(`
      "DataError: FOLDER/stats.jsonl:1: step: expected "step", received undefined
        fix: remove the line"
    `);
  });
});
