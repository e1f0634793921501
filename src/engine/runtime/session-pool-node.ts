/**
 * @file One model loaded by several threads. A session's `run` blocks the thread it is called on; here that is never the
 * caller's, which stays responsive, and as many runs go on at once as there are threads.
 */
import type { HostTensor, TensorMap } from '../../core/host-tensor.ts';
import { intoBuffers } from './given-buffers.ts';
import type { LoadableModel, Session, SessionOptions } from './session.ts';
import { SessionThread, threadFailure } from './session-thread-node.ts';
import type { WorkerReply } from './session-worker-node.ts';

/**
 * Starts `count` threads with a session each. Feeds are copied to them, results are moved back.
 *
 * @throws RuntimeUnavailableError if the model cannot be loaded
 */
export async function openSessionPool(
  model: LoadableModel,
  options: SessionOptions,
  count: number,
): Promise<Session> {
  const pool = new SessionPool(Array.from({ length: count }, () => new SessionThread()));
  await pool.load(shareable(model), options);
  return pool;
}

/** The same model where threads can read it without a copy each. */
function shareable(model: LoadableModel): LoadableModel {
  if ('path' in model) return model;
  const shared = (bytes: Uint8Array): Uint8Array => {
    const copy = new Uint8Array(new SharedArrayBuffer(bytes.byteLength));
    copy.set(bytes);
    return copy;
  };
  const { bytes, data } = model;
  return { bytes: shared(bytes), ...(data && { data: { name: data.name, bytes: shared(data.bytes) } }) };
}

interface WaitingRun {
  readonly feeds: TensorMap;
  resolve(reply: WorkerReply): void;
  reject(error: Error): void;
}

class SessionPool implements Session {
  private readonly threads: readonly SessionThread[];
  private readonly idle: SessionThread[];
  /** Runs without a thread yet, in the order of their calls. */
  private readonly waiting: WaitingRun[] = [];
  /** Why there will be no more runs. */
  private ended: Error | undefined;

  constructor(threads: readonly SessionThread[]) {
    this.threads = threads;
    this.idle = [...threads];
    // With one thread gone the rest could go on; but what ended one, such as a lack of memory, is likely to end more.
    for (const thread of threads) thread.onEnd = (error) => this.end(error);
  }

  async load(model: LoadableModel, options: SessionOptions): Promise<void> {
    const loading = this.threads.map((thread) => thread.send({ kind: 'load', model, options }));
    try {
      await Promise.all(loading);
    } catch (error) {
      await Promise.allSettled(loading);
      await this.terminate();
      throw error;
    }
  }

  async run(feeds: TensorMap, fetches?: TensorMap): Promise<TensorMap> {
    if (this.ended !== undefined) throw this.ended;
    const reply = new Promise<WorkerReply>((resolve, reject) =>
      this.waiting.push({ feeds, resolve, reject }),
    );
    this.startRuns();
    const { results = new Map<string, HostTensor>() } = await reply;
    return intoBuffers(results, fetches);
  }

  async release(): Promise<void> {
    this.end(threadFailure('the session has been released'));
    await Promise.allSettled(this.threads.map((thread) => thread.send({ kind: 'release' })));
    await this.terminate();
  }

  private startRuns(): void {
    while (this.idle.length > 0 && this.waiting.length > 0) {
      const [thread, { feeds, resolve, reject }] = [this.idle.pop()!, this.waiting.shift()!];
      const done = thread.send({ kind: 'run', feeds }).then(resolve, reject);
      done.then(() => {
        this.idle.push(thread);
        this.startRuns();
      });
    }
  }

  private end(error: Error): void {
    this.ended ??= error;
    for (const { reject } of this.waiting.splice(0)) reject(this.ended);
  }

  private async terminate(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.terminate()));
  }
}
