import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { expect, test, vi } from 'vitest';
import { turnsDuring } from '../../../test/support/loop-turns.ts';
import { tensorOf, zeros } from '../../core/host-tensor.ts';
import { compileTraining } from '../compile/training.ts';
import { graphOf } from '../graph/graph.ts';
import { input, matmul, mul, sum } from '../graph/operators.ts';
import { cpuBackend } from './cpu-node.ts';
import { wasmBackend } from './wasm-web.ts';

const started: Worker[] = [];
vi.mock('node:worker_threads', async (original) => {
  const actual = await original<typeof import('node:worker_threads')>();
  class ObservedWorker extends actual.Worker {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args);
      started.push(this);
    }
  }
  return { ...actual, Worker: ObservedWorker };
});

const doubling = graphOf({ doubled: mul(input('x', [1]), 2) });
const feed = (value: number) => new Map([['x', tensorOf('f32', [1], [value])]]);
/** Takes a good part of a second. */
const square = input('a', [2000, 2000]);
const slow = graphOf({ product: sum(matmul(square, square)) });
const slowFeeds = new Map([['a', zeros('f32', [2000, 2000])]]);

test('a session in a thread gives what a session here gives, into given buffers too', async () => {
  const x = input('x', [3]);
  const graph = graphOf({ doubled: mul(x, 2), tripled: mul(x, 3) });
  const here = await compileTraining(graph, cpuBackend);
  const there = await compileTraining(graph, cpuBackend, { workers: 1 });
  const feeds = new Map([['x', tensorOf('f32', [3], [1, -2, 0.5])]]);
  const expected = await here.run(feeds);
  expect(await there.run(feeds)).toEqual(expected);
  const buffer = zeros('f32', [3]);
  const results = await there.run(feeds, new Map([['tripled', buffer]]));
  expect(results.get('tripled')).toBe(buffer);
  expect(buffer).toEqual(expected.get('tripled'));
  await Promise.all([here.release(), there.release()]);
});

test.each([1, 2])(
  '%i workers answer more runs than there are workers, and an error belongs to its run',
  async (workers) => {
    const session = await compileTraining(doubling, cpuBackend, { workers });
    const settled = await Promise.allSettled([
      ...[1, 2, 3].map((value) => session.run(feed(value))),
      session.run(new Map()),
      session.run(feed(5)),
    ]);
    for (const [i, value] of [2, 4, 6, undefined, 10].entries()) {
      expect(settled[i]).toMatchObject(
        value === undefined
          ? { status: 'rejected', reason: { problem: 'no value is fed for input x' } }
          : { value: new Map([['doubled', { data: Float32Array.of(value) }]]) },
      );
    }
    await session.release();
  },
);

test('the caller goes on while a worker runs', async () => {
  const here = await compileTraining(slow, cpuBackend);
  const there = await compileTraining(slow, cpuBackend, { workers: 1 });
  const blocked = await turnsDuring(() => here.run(slowFeeds));
  expect(await turnsDuring(() => there.run(slowFeeds))).toBeGreaterThan(10 * blocked);
  await Promise.all([here.release(), there.release()]);
});

test('a model that cannot be loaded is an error of createSession', async () => {
  const nonsense = Uint8Array.of(1, 2, 3);
  await expect(
    cpuBackend.createSession({ bytes: nonsense }, { purpose: 'training', workers: 2 }),
  ).rejects.toThrow(/the model could not be loaded/);
});

test('a worker that ends fails the runs that wait and those to come, and leaves nothing behind', async () => {
  started.length = 0;
  const session = await compileTraining(slow, cpuBackend, { workers: 1 });
  const ending = started[0]!.terminate();
  const settled = Promise.allSettled([session.run(slowFeeds), session.run(slowFeeds)]);
  await ending;
  expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await expect(session.run(slowFeeds)).rejects.toThrowErrorMatchingInlineSnapshot(`
    [RuntimeUnavailableError: RuntimeUnavailableError: runtime cpu (thread): a worker ended with code 1
      fix: use fewer workers or smaller batches if memory ran out]
  `);
  await session.release();
  expect(started.map(({ threadId }) => threadId)).toEqual([-1]);
});

test('a worker without memory ends with its own message', async () => {
  started.length = 0;
  const session = await compileTraining(doubling, cpuBackend, { workers: 1 });
  started[0]!.emit(
    'error',
    new Error('Worker terminated due to reaching memory limit: JS heap out of memory'),
  );
  await expect(session.run(feed(1))).rejects.toThrowErrorMatchingInlineSnapshot(`
    [RuntimeUnavailableError: RuntimeUnavailableError: runtime cpu (thread): a worker failed: Worker terminated due to reaching memory limit: JS heap out of memory
      fix: use fewer workers or smaller batches if memory ran out]
  `);
  await session.release();
});

test('a run after the release', async () => {
  const session = await compileTraining(doubling, cpuBackend, { workers: 1 });
  const running = session.run(feed(4));
  await session.release();
  expect((await running).get('doubled')!.data).toEqual(Float32Array.of(8));
  await expect(session.run(feed(1))).rejects.toThrowErrorMatchingInlineSnapshot(
    `[RuntimeUnavailableError: RuntimeUnavailableError: runtime cpu (thread): the session has been released]`,
  );
});

test('WebAssembly has one worker', async () => {
  await expect(
    compileTraining(doubling, wasmBackend, { workers: 2 }),
  ).rejects.toThrowErrorMatchingInlineSnapshot(`
    [RuntimeUnavailableError: RuntimeUnavailableError: runtime wasm: 2 workers are requested, but it has one: the calling thread
      fix: use 1 worker]
  `);
});

test.each([
  ['idle', 0],
  ['busy', 3],
  ['failing', 1],
])(
  'a program that ends without releasing, its threads %s, ends with its own exit code',
  async (how, code) => {
    const program = fileURLToPath(new URL('../../../test/support/ending-program.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', 'tsx', program, how], { stdio: 'ignore' });
    const [exitCode] = await once(child, 'exit');
    expect(exitCode).toBe(code);
  },
);
