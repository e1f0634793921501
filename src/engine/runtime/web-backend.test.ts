import { describe, expect, test } from 'vitest';
import type { OrtModule } from './ort.ts';
import { probeFeatures } from './ort-backend.ts';
import type { Backend } from './session.ts';
import { wasmBackend as wasmInNode } from './wasm-node.ts';
import { wasmBackend } from './wasm-web.ts';
import { webBackend } from './web-backend.ts';
import { webgpuBackend } from './webgpu-web.ts';

/** The interface of the library, which remembers with how many threads it was started. */
function fakeOrt() {
  const env: { versions: object; wasm: { numThreads?: number } } = { versions: { common: '1' }, wasm: {} };
  const starts: (number | undefined)[] = [];
  const create = async () => {
    starts.push(env.wasm.numThreads);
    return { inputNames: [], outputNames: [], run: async () => ({}), release: async () => {} };
  };
  const ort = { InferenceSession: { create }, env } as unknown as OrtModule;
  return { ort, starts };
}

const load = (backend: Backend, threads?: number) =>
  backend.createSession({ bytes: new Uint8Array() }, { purpose: 'inference', ...(threads && { threads }) });

describe('threads of WebAssembly', () => {
  test('are those that the first model asks for', async () => {
    const { ort, starts } = fakeOrt();
    const backend = webBackend('wasm', ort, { hasThreads: true });
    await backend.features();
    await load(backend, 3);
    await load(backend, 2);
    await load(backend);
    expect(starts).toEqual([3, 3, 3]);
    await expect(load(backend, 4)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [RuntimeUnavailableError: RuntimeUnavailableError: runtime wasm: 4 threads are requested, but it has had 3 since its first model
        fix: request 4 threads with the first model]
    `);
  });

  test('may be asked for before weights are folded', async () => {
    const { ort, starts } = fakeOrt();
    const backend = webBackend('wasm', ort, { hasThreads: true });
    backend.start?.(2);
    await load(backend);
    expect(starts).toEqual([2]);
  });

  test('are one where none is asked for, and where memory cannot be shared', async () => {
    for (const [hasThreads, asked] of [
      [true, undefined],
      [false, 4],
    ] as const) {
      const { ort, starts } = fakeOrt();
      await load(webBackend('wasm', ort, { hasThreads }), asked);
      expect(starts).toEqual([1]);
    }
  });
});

test.each([
  ['in browsers', wasmBackend],
  ['in Node', wasmInNode],
  ['beside WebGPU', webgpuBackend.foldsOn!],
])('WebAssembly %s has what lowering takes it to have', async (_, backend) => {
  expect(await backend.features()).toEqual(await probeFeatures(backend.createSession));
});
