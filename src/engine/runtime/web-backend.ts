/** @file What the builds of onnxruntime-web have in common: one worker, no files, and memory of their own. */
import type * as Ort from 'onnxruntime-common';
import { RuntimeUnavailableError } from '../../core/errors.ts';
import type { TensorMap } from '../../core/host-tensor.ts';
import { type LoweringFeatures, PORTABLE } from '../onnx/lowering.ts';
import { intoBuffers } from './given-buffers.ts';
import { expectOneWorker, type OrtModule } from './ort.ts';
import { ortBackend } from './ort-backend.ts';
import type { Backend, BackendName, Session } from './session.ts';

/** Of the WebAssembly that the packages bring along. A probe would start it before it is known with how many threads. */
const WASM: LoweringFeatures = { ...PORTABLE, contributed: true };

export interface WebBackendOptions {
  /** Can its threads share memory? If not it has one, however many are asked for. */
  readonly hasThreads: boolean;
}

export function webBackend(name: BackendName, ort: OrtModule, { hasThreads }: WebBackendOptions): Backend {
  const backend = ortBackend(name, ort);
  let started: number | undefined;
  const start = (threads = 1): void => {
    const wanted = hasThreads ? threads : 1;
    if (started === undefined) {
      started = wanted;
      (ort.env as Ort.Env).wasm.numThreads = started;
    }
    if (wanted <= started) return;
    throw new RuntimeUnavailableError({
      where: `runtime ${name}`,
      problem: `${wanted} threads are requested, but it has had ${started} since its first model`,
      fix: `request ${wanted} threads with the first model`,
    });
  };
  return {
    ...backend,
    start,
    features: name === 'wasm' ? () => Promise.resolve(WASM) : backend.features,
    async createSession(model, { workers = 1, ...options }) {
      expectOneWorker(name, workers);
      if ('path' in model) {
        throw new RuntimeUnavailableError({
          where: `runtime ${name}`,
          problem: `it reads no files, but ${model.path} is a file`,
          fix: 'pass the bytes of the model and of its data',
        });
      }
      start(options.threads);
      return filling(await backend.createSession(model, options));
    },
  };
}

/** onnxruntime-web computes in its own memory and never writes into given buffers: results are copied there. */
function filling(session: Session): Session {
  return {
    async run(feeds: TensorMap, fetches?: TensorMap) {
      const results = await session.run(feeds);
      await othersTurn();
      return intoBuffers(results, fetches);
    },
    release: () => session.release(),
  };
}

/**
 * A run blocks the thread that calls it, and its promise is kept before any event is heard: without this, a click that
 * should stop a drawing would wait for its end. Timers would wait four milliseconds.
 */
function othersTurn(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
