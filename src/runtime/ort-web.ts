/** @file The `onnxruntime-web` backend: WebAssembly, in browsers and in Node. */
import * as ort from 'onnxruntime-web/wasm';
import { RuntimeUnavailableError } from '../core/errors.ts';
import type { HostTensor, TensorMap } from '../core/host-tensor.ts';
import { ortBackend } from './ort.ts';
import type { Backend, Session } from './session.ts';

// One thread unless the page is cross-origin isolated; more would silently fall back anyway.
ort.env.wasm.numThreads = 1;

const backend = ortBackend('wasm', ort, 'wasm');

export const wasmBackend: Backend = {
  ...backend,
  async createSession(model, { workers = 1, ...options }) {
    if (workers > 1) {
      throw new RuntimeUnavailableError({
        where: 'runtime wasm',
        problem: `${workers} workers are asked for, and it has one: the thread that calls it`,
        fix: 'use 1 worker',
      });
    }
    if ('path' in model) {
      throw new RuntimeUnavailableError({
        where: 'runtime wasm',
        problem: `it reads no files, and ${model.path} is one`,
        fix: 'pass the bytes of the model and of its data',
      });
    }
    return filling(await backend.createSession(model, options));
  },
};

/** onnxruntime-web computes in its own memory and never writes into given buffers: results are copied there. */
function filling(session: Session): Session {
  return {
    async run(feeds: TensorMap, fetches?: TensorMap) {
      const results = await session.run(feeds);
      return new Map([...results].map(([name, value]) => [name, copyInto(fetches?.get(name), value)]));
    },
    release: () => session.release(),
  };
}

function copyInto(buffer: HostTensor | undefined, value: HostTensor): HostTensor {
  if (buffer === undefined) return value;
  (buffer.data as Float32Array).set(value.data as Float32Array);
  return buffer;
}
