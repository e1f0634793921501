/** @file The other end of worker-backend-node.ts: one CPU session in a thread of its own. */
import { parentPort, workerData } from 'node:worker_threads';
import { UditError } from '../core/errors.ts';
import type { TensorMap } from '../core/host-tensor.ts';
import { cpuBackend } from './ort-node.ts';
import type { LoadableModel, Session, SessionOptions } from './session.ts';

/** What the thread is started with. */
export interface WorkerModel {
  readonly model: LoadableModel;
  readonly options: SessionOptions;
}

/** One run, or (`feeds` null) the end. */
export interface WorkerRequest {
  readonly feeds: TensorMap | null;
}

/** Results, or why there are none. A reply without either says that the model is loaded, or the session released. */
export interface WorkerReply {
  readonly results?: TensorMap;
  readonly problem?: string;
}

const port = parentPort!;
const { model, options } = workerData as WorkerModel;
let session: Session;
// One after the other, so that replies come in the order of the requests.
let lastAnswer = answer(async () => {
  session = await cpuBackend.createSession(model, options);
  return {};
});
port.on('message', (request: WorkerRequest) => {
  lastAnswer = lastAnswer.then(() => answer(() => handle(request)));
});

async function handle({ feeds }: WorkerRequest): Promise<WorkerReply> {
  if (feeds !== null) return { results: await session.run(feeds) };
  await session.release();
  return {};
}

async function answer(work: () => Promise<WorkerReply>): Promise<void> {
  try {
    const reply = await work();
    // Results are moved, not copied: each has memory of its own.
    const buffers = [...(reply.results?.values() ?? [])].map(({ data }) => data.buffer as ArrayBuffer);
    port.postMessage(reply, [...new Set(buffers)]);
  } catch (error) {
    const problem = error instanceof UditError ? error.problem : String(error);
    port.postMessage({ problem } satisfies WorkerReply);
  }
}
