import { expect, test } from 'vitest';
import { compileTraining } from '../compile/training.ts';
import { tensorOf, zeros } from '../core/host-tensor.ts';
import { graphOf } from '../graph/graph.ts';
import { input, mul } from '../graph/operators.ts';
import { cpuBackend } from './ort-node.ts';
import { cpuWorkerBackend } from './worker-backend-node.ts';

test('a session in a thread gives what a session here gives, into given buffers too', async () => {
  const x = input('x', [3]);
  const graph = graphOf({ doubled: mul(x, 2), tripled: mul(x, 3) });
  const here = await compileTraining(graph, cpuBackend);
  const there = await compileTraining(graph, cpuWorkerBackend);
  const feeds = new Map([['x', tensorOf('f32', [3], [1, -2, 0.5])]]);
  const expected = await here.run(feeds);
  expect(await there.run(feeds)).toEqual(expected);
  const buffer = zeros('f32', [3]);
  const results = await there.run(feeds, new Map([['tripled', buffer]]));
  expect(results.get('tripled')).toBe(buffer);
  expect(buffer).toEqual(expected.get('tripled'));
  await Promise.all([here.release(), there.release()]);
});

test('runs are answered in order, and an error belongs to its run', async () => {
  const x = input('x', [1]);
  const session = await compileTraining(graphOf({ doubled: mul(x, 2) }), cpuWorkerBackend);
  const run = (value: number) => session.run(new Map([['x', tensorOf('f32', [1], [value])]]));
  const [one, missing, three] = await Promise.allSettled([run(1), session.run(new Map()), run(3)]);
  expect(one).toMatchObject({ value: new Map([['doubled', { data: Float32Array.of(2) }]]) });
  expect(missing).toMatchObject({ status: 'rejected', reason: { problem: 'no value is fed for input x' } });
  expect(three).toMatchObject({ value: new Map([['doubled', { data: Float32Array.of(6) }]]) });
  await session.release();
});

test('a model that cannot be loaded is an error of createSession', async () => {
  const nonsense = Uint8Array.of(1, 2, 3);
  await expect(cpuWorkerBackend.createSession({ bytes: nonsense }, { purpose: 'training' })).rejects.toThrow(
    /the model could not be loaded/,
  );
});
