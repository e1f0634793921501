import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { endedProcess } from '../../../test/support/ended-process.ts';
import { processTable, startInPs, startInStat } from './processes-node.ts';

describe('the start of a process', () => {
  const stat = (name: string, state: string) =>
    `4711 (${name}) ${state} 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 11 0 98765 999 111 18446744073709551615`;

  test('in /proc/PID/stat', () => {
    expect(startInStat(stat('node', 'S'))).toBe('98765');
    expect(startInStat(stat('a (b) c) R 1', 'R'))).toBe('98765');
  });

  test('as ps prints it', () => {
    expect(startInPs('Ss+  Mon Nov 30 12:00:01 2026\n')).toBe('Mon Nov 30 12:00:01 2026');
  });

  test('of one that was killed, and that nobody has asked for its exit code', () => {
    expect(startInStat(stat('node', 'Z'))).toBeUndefined();
    expect(startInPs('Z+   Mon Nov 30 12:00:01 2026\n')).toBeUndefined();
  });
});

test.skipIf(process.platform === 'win32')(
  'stays the same while a process runs, and ends with it',
  async () => {
    const table = processTable();
    const child = spawn(process.execPath, ['--eval', 'process.stdin.resume()']);
    const start = await table.startOf(child.pid!);
    expect(start).toMatch(/\d/);
    expect(await table.startOf(child.pid!)).toBe(start);
    expect(await table.startOf(process.pid)).not.toBe(undefined);
    child.stdin.end();
    await once(child, 'exit');
    expect(await table.startOf(child.pid!)).toBeUndefined();
  },
);

test('where the system tells no start, it is told apart from a process that has ended', async () => {
  const table = processTable('win32');
  expect(await table.startOf(process.pid)).toBeNull();
  expect(await table.startOf(endedProcess())).toBeUndefined();
  expect(table.space).toBe(table.host);
});

test.runIf(process.platform === 'linux')(
  'another start of the system and another container are other spaces',
  () => {
    const { host, space } = processTable();
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    expect(space.startsWith(`${host} ${boot} pid:[`)).toBe(true);
  },
);
