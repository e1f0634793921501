/**
 * @file Sessions in threads of their own. A session's `run` blocks the thread it is called on; here that thread is not
 * the caller's, so several sessions work at the same time and the caller stays responsive.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { RuntimeUnavailableError } from '../core/errors.ts';
import type { HostTensor, TensorMap } from '../core/host-tensor.ts';
import { keepFreedMemory } from './malloc-node.ts';
import { cpuBackend } from './ort-node.ts';
import type { Backend, LoadableModel, Session, SessionOptions } from './session.ts';
import type { WorkerModel, WorkerReply, WorkerRequest } from './session-worker-node.ts';

const SOURCE = new URL('./session-worker-node.ts', import.meta.url);
const BUILT = new URL('./session-worker-node.js', import.meta.url);

/** The CPU backend with one thread per session. Feeds are copied to it, results are moved back. */
export const cpuWorkerBackend: Backend = {
  ...cpuBackend,
  async createSession(model: LoadableModel, options: SessionOptions): Promise<Session> {
    if (options.purpose === 'training') await keepFreedMemory();
    const workerData: WorkerModel = { model, options };
    const session = new WorkerSession(startWorker(workerData));
    await session.loaded;
    return session;
  },
};

/** In a checkout a thread has to be taught TypeScript first, as bin/udit.js does for the program; the package has JavaScript. */
function startWorker(workerData: WorkerModel): Worker {
  if (!existsSync(fileURLToPath(SOURCE))) return new Worker(BUILT, { workerData });
  const script = `import('${import.meta.resolve('tsx/esm/api')}').then(({ register }) => { register(); return import('${SOURCE}'); })`;
  return new Worker(script, { eval: true, workerData });
}

interface Waiting {
  resolve(reply: WorkerReply): void;
  reject(error: RuntimeUnavailableError): void;
}

class WorkerSession implements Session {
  /** Settles when the model is loaded. */
  readonly loaded: Promise<WorkerReply>;
  private readonly worker: Worker;
  /** Requests in the order they were sent, which is the order of the replies. */
  private readonly waiting: Waiting[] = [];

  constructor(worker: Worker) {
    this.worker = worker;
    worker.on('message', (reply: WorkerReply) => {
      const request = this.waiting.shift();
      if (reply.problem === undefined) request?.resolve(reply);
      else request?.reject(failure(reply.problem));
    });
    worker.on('error', (error) => this.fail(String(error)));
    worker.on('exit', () => this.fail('its thread has ended'));
    this.loaded = this.reply();
  }

  async run(feeds: TensorMap, fetches?: TensorMap): Promise<TensorMap> {
    const { results = new Map<string, HostTensor>() } = await this.send({ feeds });
    if (fetches === undefined) return results;
    for (const [name, buffer] of fetches) {
      const result = results.get(name);
      if (result !== undefined) (buffer.data as Float32Array).set(result.data as Float32Array);
    }
    return new Map([...results].map(([name, result]) => [name, fetches.get(name) ?? result]));
  }

  async release(): Promise<void> {
    await this.send({ feeds: null });
    await this.worker.terminate();
  }

  private send(request: WorkerRequest): Promise<WorkerReply> {
    const reply = this.reply();
    this.worker.postMessage(request);
    return reply;
  }

  private reply(): Promise<WorkerReply> {
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  private fail(problem: string): void {
    for (const { reject } of this.waiting.splice(0)) reject(failure(problem));
  }
}

function failure(problem: string): RuntimeUnavailableError {
  return new RuntimeUnavailableError({ where: 'runtime cpu (thread)', problem });
}
