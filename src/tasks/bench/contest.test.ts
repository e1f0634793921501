import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Rival, runContest, takeTurns } from './contest.ts';
import { Contestant } from './contestant.ts';
import type { Workload } from './plan.ts';

const runner = (name: string, seconds: number, log: string[]) => ({
  run: async () => {
    log.push(name);
    return seconds;
  },
});

test('everyone takes turns', async () => {
  const log: string[] = [];
  const seconds = await takeTurns([runner('a', 1, log), runner('b', 2, log), runner('c', 3, log)], 2);
  expect(log).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
  expect(seconds).toEqual([
    [1, 1],
    [2, 2],
    [3, 3],
  ]);
});

/** Three fake layouts: 2×1 is the fastest. */
const secondsOf = (workers: number, threads: number) => (workers === 2 ? 1 : threads === 2 ? 2 : 3);

const fakeRival = (name: string, start: Rival['start']): Rival => ({
  name,
  precision: 'f32',
  layouts: () => [
    { workers: 1, threads: 2 },
    { workers: 2, threads: 1 },
    { workers: 1, threads: 1 },
  ],
  start,
});

const fakeProgram = (seconds: number) => `
  const say = (answer) => console.log(JSON.stringify(answer));
  say({ ready: true });
  require('node:readline').createInterface({ input: process.stdin }).on('line', (line) =>
    say(line === 'quit' ? { peak_rss_mb: 10 } : { interval: [0, ${seconds}] }));`;

test('a rival is measured in its fastest layout; one that cannot start is a note', async () => {
  const workload: Workload = {
    task: 'forward',
    model: 'U-DiT-XS',
    batch: 1,
    workers: 1,
    threads: 1,
    precision: 'f32',
    device: 'cpu',
    sampling: { steps: 1 },
  };
  const program = (seconds: number) => ({ program: process.execPath, args: ['-e', fakeProgram(seconds)] });
  const works = fakeRival('works', (_, { workers, threads }, signal) =>
    Contestant.start('works', [program(secondsOf(workers, threads))], signal),
  );
  const fails = fakeRival('fails', (_, __, signal) =>
    Contestant.start('fails', [{ program: process.execPath, args: ['-e', 'process.exit(1)'] }], signal),
  );
  const ended = new AbortController();
  const scratchFolder = await mkdtemp(join(tmpdir(), 'udit contest '));
  const result = await runContest(
    { task: 'forward', batch: 1, device: 'cpu', cores: 2, workloads: [workload] },
    {
      ...{ rounds: 2, version: '0', rivals: [fails, works], forwardMacs: 1e9, scratchFolder },
      ...{ signal: ended.signal, onProgress: () => {} },
    },
  );
  ended.abort();
  await rm(scratchFolder, { recursive: true });
  expect(result.rivals).toMatchObject([{ name: 'works', workers: 2, threads: 1, seconds: [1, 1] }]);
  expect(result.rivals[0]!.ourSeconds[0]).toHaveLength(2);
  expect(result.ours).toMatchObject([
    { name: 'udit 0', workers: 1, introduction: { node: process.versions.node } },
  ]);
  expect(result.ours[0]!.introduction).not.toHaveProperty('loadSeconds');
  expect(result.ours[0]!.loadSeconds!.warm).toBeGreaterThan(0);
  expect(result.ours[0]!.productGflops).toBeGreaterThan(0);
  expect(result.macsPerImage).toBe(1e9);
  expect(result.notes).toMatchInlineSnapshot(`
    [
      "RuntimeUnavailableError: bench fails: the program ended before it was ready: ",
    ]
  `);
});
