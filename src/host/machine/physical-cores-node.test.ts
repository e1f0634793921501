import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { linuxCores, physicalCores } from './physical-cores-node.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'udit-cores-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** @param siblings - what each CPU says of its core; `null` for one that is switched off */
async function coresOf(siblings: readonly (string | null)[], status: string): Promise<number | undefined> {
  for (const [cpu, list] of siblings.entries()) {
    await mkdir(join(folder, `cpu${cpu}`, 'topology'), { recursive: true });
    if (list === null) continue;
    await writeFile(join(folder, `cpu${cpu}`, 'topology', 'thread_siblings_list'), `${list}\n`);
  }
  await mkdir(join(folder, 'cpufreq'));
  await writeFile(join(folder, 'status'), status);
  return linuxCores(folder, join(folder, 'status'));
}

const allowed = (list: string) =>
  `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${list}\nThreads:\t11\n`;

test('two threads of a core count once', async () => {
  expect(await coresOf(['0,4', '1,5', '2,6', '3,7', '0,4', '1,5', '2,6', '3,7'], allowed('0-7'))).toBe(4);
});

test('cores that the process may not use do not count', async () => {
  expect(await coresOf(['0-1', '0-1', '2-3', '2-3', '4', '5'], allowed('0-2,5'))).toBe(3);
});

test('a system that says nothing of its cores is told apart from one without any', async () => {
  await expect(coresOf([null, null], allowed('0-1'))).rejects.toThrow('ENOENT');
});

test('here there is at least one, and at most one per thread', () => {
  const cores = physicalCores();
  expect(Number.isInteger(cores)).toBe(true);
  expect(cores).toBeGreaterThanOrEqual(1);
  expect(cores).toBeLessThanOrEqual(availableParallelism());
});
