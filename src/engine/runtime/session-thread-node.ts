/** @file This end of a thread that runs a session; the other one is session-worker-node.ts. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { RuntimeUnavailableError } from '../../core/errors.ts';
import { ModelRefusedError } from './session.ts';
import type { WorkerReply, WorkerRequest, WorkerStart } from './session-worker-node.ts';

const SOURCE = new URL('./session-worker-node.ts', import.meta.url);
const BUILT = new URL('./session-worker-node.js', import.meta.url);

const LONGEST_WAIT_AT_EXIT_MS = 60_000;

export class SessionThread {
  /** Called once, if the thread ends before it was told to. */
  onEnd: (error: Error) => void = () => {};
  /** One number: requests that the thread has not finished. */
  private readonly unfinished = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  private readonly worker = startWorker({ unfinished: this.unfinished });
  /** Requests in the order they were sent, which is the order of the replies. */
  private readonly waiting: { resolve(reply: WorkerReply): void; reject(error: Error): void }[] = [];
  private ended: Error | undefined;

  constructor() {
    watchExit(this);
    this.worker.on('message', (reply: WorkerReply) => {
      const request = this.waiting.shift();
      // A program may end while its threads have nothing to do.
      if (this.waiting.length === 0) this.worker.unref();
      if (reply.problem === undefined) request?.resolve(reply);
      else if (reply.isRefusal) request?.reject(new ModelRefusedError(failureIn(reply.problem)));
      else request?.reject(threadFailure(reply.problem));
    });
    this.worker.on('error', (error) => this.end(`a worker failed: ${error.message}`));
    this.worker.on('exit', (code) => {
      unwatchExit(this);
      this.end(`a worker ended with code ${code}`);
    });
  }

  send(request: WorkerRequest): Promise<WorkerReply> {
    return new Promise((resolve, reject) => {
      if (this.ended !== undefined) return reject(this.ended);
      this.waiting.push({ resolve, reject });
      this.worker.ref();
      Atomics.add(this.unfinished, 0, 1);
      this.worker.postMessage(request);
    });
  }

  /** To be called when it has answered everything. */
  async terminate(): Promise<void> {
    await this.worker.terminate();
  }

  waitUntilIdle(): void {
    const giveUpAt = performance.now() + LONGEST_WAIT_AT_EXIT_MS;
    for (let count = 1; count > 0 && performance.now() < giveUpAt; ) {
      count = Atomics.load(this.unfinished, 0);
      if (count > 0) Atomics.wait(this.unfinished, 0, count, giveUpAt - performance.now());
    }
  }

  private end(problem: string): void {
    if (this.ended !== undefined) return;
    this.ended = threadFailure(problem, 'use fewer workers or smaller batches if memory ran out');
    for (const { reject } of this.waiting.splice(0)) reject(this.ended);
    this.onEnd(this.ended);
  }
}

export function threadFailure(problem: string, fix?: string): RuntimeUnavailableError {
  return new RuntimeUnavailableError({ ...failureIn(problem), ...(fix === undefined ? {} : { fix }) });
}

const failureIn = (problem: string) => ({ where: 'runtime cpu (thread)', problem });

const running = new Set<SessionThread>();

/** A thread that is stopped inside ONNX Runtime aborts the process: a program that ends waits for what its threads do. */
function waitAtExit(): void {
  for (const thread of running) thread.waitUntilIdle();
}

function watchExit(thread: SessionThread): void {
  if (running.size === 0) process.on('exit', waitAtExit);
  running.add(thread);
}

function unwatchExit(thread: SessionThread): void {
  running.delete(thread);
  if (running.size === 0) process.off('exit', waitAtExit);
}

/**
 * In a checkout a thread has to be taught TypeScript first, as bin/udit.js does for the program; the package has
 * JavaScript. As CommonJS the sources load in half the time, and without the program's own arguments nothing loads twice.
 */
function startWorker(workerData: WorkerStart): Worker {
  const source = fileURLToPath(SOURCE);
  if (!existsSync(source)) return new Worker(BUILT, { workerData });
  const tsx = fileURLToPath(import.meta.resolve('tsx/cjs/api'));
  const script = `require(${JSON.stringify(tsx)}).register(); require(${JSON.stringify(source)});`;
  return new Worker(script, { eval: true, execArgv: [], workerData });
}
