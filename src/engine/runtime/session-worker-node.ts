/** @file The other end of session-thread-node.ts: one CPU session in a thread of its own. */
import { parentPort, workerData } from 'node:worker_threads';
import { UditError } from '../../core/errors.ts';
import type { TensorMap } from '../../core/host-tensor.ts';
import { ort } from './native-library-node.ts';
import { createOrtSession } from './ort.ts';
import { type LoadableModel, ModelRefusedError, type Session, type SessionOptions } from './session.ts';

/** What the thread is started with. */
export interface WorkerStart {
  /** One number in shared memory: requests that were sent and are not finished. */
  readonly unfinished: Int32Array;
}

/** First the model, then any number of runs, then the end. */
export type WorkerRequest =
  | { readonly kind: 'load'; readonly model: LoadableModel; readonly options: SessionOptions }
  | { readonly kind: 'run'; readonly feeds: TensorMap }
  | { readonly kind: 'release' };

/** Results, or why there are none. A reply without either says that the model is loaded, or the session released. */
export interface WorkerReply {
  readonly results?: TensorMap;
  readonly problem?: string;
  /** Is the problem that the model cannot be read? */
  readonly isRefusal?: boolean;
}

const port = parentPort!;
const { unfinished } = workerData as WorkerStart;
let session: Session;
// One after the other: a session must not be released while it runs, and replies have the order of the requests.
let lastAnswer = Promise.resolve();
port.on('message', (request: WorkerRequest) => {
  lastAnswer = lastAnswer.then(() => reply(request));
});

async function reply(request: WorkerRequest): Promise<void> {
  try {
    const answer = await handle(request);
    // Results are moved, not copied: each has memory of its own.
    const buffers = [...(answer.results?.values() ?? [])].map(({ data }) => data.buffer as ArrayBuffer);
    port.postMessage(answer, [...new Set(buffers)]);
  } catch (error) {
    const problem = error instanceof UditError ? error.problem : String(error);
    const isRefusal = error instanceof ModelRefusedError;
    port.postMessage({ problem, isRefusal } satisfies WorkerReply);
  }
  Atomics.sub(unfinished, 0, 1);
  Atomics.notify(unfinished, 0);
}

async function handle(request: WorkerRequest): Promise<WorkerReply> {
  switch (request.kind) {
    case 'load':
      session = await load(request.model, request.options);
      return {};
    case 'run':
      return { results: await session.run(request.feeds) };
    case 'release':
      await session.release();
      return {};
  }
}

/** ONNX Runtime refuses shared memory. The copies are given back at once: an idle thread never collects its garbage. */
async function load(model: LoadableModel, options: SessionOptions): Promise<Session> {
  if ('path' in model) return createOrtSession('cpu', ort, model, options);
  const memories: ArrayBuffer[] = [];
  const copied = (shared: Uint8Array): Uint8Array => {
    const memory = new ArrayBuffer(shared.byteLength, { maxByteLength: shared.byteLength });
    memories.push(memory);
    const bytes = new Uint8Array(memory);
    bytes.set(shared);
    return bytes;
  };
  const { bytes, data } = model;
  const own = { bytes: copied(bytes), ...(data && { data: { name: data.name, bytes: copied(data.bytes) } }) };
  try {
    return await createOrtSession('cpu', ort, own, options);
  } finally {
    for (const memory of memories) memory.resize(0);
  }
}
