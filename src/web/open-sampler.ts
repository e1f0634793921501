/** @file The page's side of a worker that samples: the page stays free while pictures are drawn. */
import { type HostTensor, zeros } from '../core/host-tensor.ts';
import { sizeOf } from '../core/shape.ts';
import type { SampledBatch } from '../tasks/sampling/sample.ts';
import { fromSentError } from './sent-error.ts';
import type {
  OpenedModel,
  PageMessage,
  WorkerMessage,
  WorkerSampleRequest,
  WorkerSamplerOptions,
} from './worker-protocol.ts';

/** A `Worker`, or one end of a `MessageChannel`. */
export interface WorkerLike {
  onmessage: ((event: MessageEvent<WorkerMessage>) => void) | null;
  onerror?: ((event: ErrorEvent) => void) | null;
  postMessage(message: PageMessage): void;
  terminate?(): void;
}

/** A sampler whose work is done in a worker. */
export interface WorkerSampler extends OpenedModel {
  /** The images in their order, each batch as soon as it is finished. */
  batches(request: WorkerSampleRequest): AsyncGenerator<SampledBatch>;
  /** All images, `f32[N,C,H,W]`. */
  generate(request: WorkerSampleRequest): Promise<HostTensor<'f32'>>;
  /** Stops what is being drawn, and ends the worker. */
  release(): Promise<void>;
}

/**
 * Opens a model in a worker whose program calls `serveSampler`.
 *
 *     const worker = new Worker(new URL('./sampling.js', import.meta.url), { type: 'module' });
 *     const sampler = await openSampler(worker, { model: '/u-dit-xs-emoji.safetensors' });
 *     const images = await sampler.generate({ labels: [0], seed: 1 });
 *
 * @throws the errors that `openModel` and `createSampler` throw
 */
export async function openSampler(
  worker: WorkerLike,
  { model, ...options }: WorkerSamplerOptions,
): Promise<WorkerSampler> {
  const connection = new Connection(worker);
  // Addresses are relative to the page, as everywhere on it.
  const address = typeof model === 'string' ? new URL(model, globalThis.location?.href) : model;
  const sent = address instanceof URL ? address.href : address;
  const [opened] = await collect(connection.request({ kind: 'open', options: { ...options, model: sent } }));
  const facts = (opened as Extract<WorkerMessage, { readonly kind: 'opened' }>).model;
  return {
    ...facts,
    batches: (request) => draw(connection, request),
    generate: (request) => drawAll(connection, facts, request),
    async release() {
      await collect(connection.request({ kind: 'release' }));
      worker.terminate?.();
    },
  };
}

async function* draw(
  connection: Connection,
  { signal, onStep, ...sent }: WorkerSampleRequest,
): AsyncGenerator<SampledBatch, void, undefined> {
  const request = { ...sent, hasProgress: onStep !== undefined };
  for await (const message of connection.request({ kind: 'draw', request }, signal)) {
    if (message.kind === 'step') onStep?.(message.progress);
    if (message.kind === 'batch') yield message.batch;
  }
}

async function drawAll(
  connection: Connection,
  { imageShape }: OpenedModel,
  request: WorkerSampleRequest,
): Promise<HostTensor<'f32'>> {
  const images = zeros('f32', [request.labels.length, ...imageShape]);
  for await (const batch of draw(connection, request)) {
    images.data.set(batch.images.data, batch.first * sizeOf(imageShape));
  }
  return images;
}

async function collect(messages: AsyncIterable<WorkerMessage>): Promise<WorkerMessage[]> {
  const all: WorkerMessage[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

type Request = PageMessage extends infer M ? (M extends PageMessage ? Omit<M, 'id'> : never) : never;

/** Requests under way, and the answers that nobody has taken yet. */
class Connection {
  readonly #worker: WorkerLike;
  readonly #answers = new Map<number, (message: WorkerMessage) => void>();
  #requests = 0;

  constructor(worker: WorkerLike) {
    this.#worker = worker;
    worker.onmessage = ({ data }) => this.#answers.get(data.id)?.(data);
    worker.onerror = ({ message }) => {
      const details = { where: 'sampling worker', problem: message, fix: 'look at the console of the page' };
      const error = { name: 'RuntimeUnavailableError', details };
      for (const [id, take] of this.#answers) take({ id, kind: 'failed', error });
    };
  }

  /** The answers to a request until it is done. Whoever takes no more of them stops the work. */
  async *request(
    request: Request,
    signal?: AbortSignal | undefined,
  ): AsyncGenerator<WorkerMessage, void, undefined> {
    signal?.throwIfAborted();
    const id = this.#requests++;
    const arrived: WorkerMessage[] = [];
    let wake = (): void => {};
    this.#answers.set(id, (message) => {
      arrived.push(message);
      wake();
    });
    const stop = (): void => this.#worker.postMessage({ id, kind: 'stop' });
    signal?.addEventListener('abort', stop);
    this.#worker.postMessage({ id, ...request } as PageMessage);
    let isOver = false;
    try {
      while (!isOver) {
        if (arrived.length === 0) await new Promise<void>((resolve) => (wake = resolve));
        const message = arrived.shift();
        if (message === undefined) continue;
        isOver = message.kind === 'done' || message.kind === 'failed' || message.kind === 'opened';
        if (message.kind === 'failed') {
          signal?.throwIfAborted();
          throw fromSentError(message.error);
        }
        yield message;
      }
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#answers.delete(id);
      if (!isOver) stop();
    }
  }
}
