import { expect, test, vi } from 'vitest';
import { tensorOf } from '../../core/host-tensor.ts';
import { compileTraining } from '../compile/training.ts';
import { graphOf } from '../graph/graph.ts';
import { add, input } from '../graph/operators.ts';
import { nativeBackend } from './native-backend-node.ts';
import type { OrtModule } from './ort.ts';
import { ortBackend } from './ort-backend.ts';
import { wasmBackend } from './wasm-web.ts';
import { webBackend } from './web-backend.ts';

const x = input('x', [1]);
const doubled = graphOf({ y: add(x, x) });
const feeds = new Map([['x', tensorOf('f32', [1], [4])]]);

test.each([nativeBackend, wasmBackend])('$name: a release waits for the run under way', async (backend) => {
  const session = await compileTraining(doubled, backend);
  const running = session.run(feeds);
  await session.release();
  await session.release();
  expect(Number((await running).get('y')!.data[0])).toBe(8);
  await expect(session.run(feeds)).rejects.toThrow('the session has been released');
});

/** The interface of the library, with runs that end when they are told to, and a session that says what happens to it. */
function fakeOrt() {
  const events: string[] = [];
  const ends: { resolve(): void; reject(error: Error): void }[] = [];
  class Tensor {
    constructor(
      readonly type: string,
      readonly data: Float32Array,
      readonly dims: readonly number[],
    ) {}
  }
  const session = {
    inputNames: ['x'],
    outputNames: ['y'],
    async run() {
      events.push('run');
      await new Promise<void>((resolve, reject) => ends.push({ resolve, reject }));
      events.push('ran');
      return { y: new Tensor('float32', Float32Array.of(8), [1]) };
    },
    async release() {
      events.push('released');
    },
  };
  const ort = {
    InferenceSession: { create: async () => session },
    Tensor,
    env: { versions: { common: '1' }, wasm: {} },
  } as unknown as OrtModule;
  return { ort, events, ends };
}

test.each([
  ['webgpu', (ort: OrtModule) => ortBackend('webgpu', ort)],
  ['webgpu', (ort: OrtModule) => webBackend('webgpu', ort, { hasThreads: false })],
  ['wasm', (ort: OrtModule) => webBackend('wasm', ort, { hasThreads: false })],
] as const)(
  '%s: memory is freed after the last of several runs, one that fails among them',
  async (name, backendOf) => {
    const { ort, events, ends } = fakeOrt();
    const session = await backendOf(ort).createSession({ bytes: new Uint8Array() }, { purpose: 'inference' });
    const runs = Promise.allSettled([session.run(feeds), session.run(feeds)]);
    await vi.waitUntil(() => ends.length === 2);
    const release = session.release();
    await expect(session.run(feeds)).rejects.toMatchObject({
      where: `runtime ${name}`,
      problem: 'the session has been released',
    });
    ends[1]!.reject(new Error('lost'));
    ends[0]!.resolve();
    await release;
    expect((await runs).map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(events).toEqual(['run', 'run', 'ran', 'released']);
  },
);
