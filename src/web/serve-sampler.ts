/** @file The worker's side: opens one model, and draws from it what the page asks for. */
import { ConfigError } from '../core/errors.ts';
import type { Backend } from '../engine/runtime/session.ts';
import { createSampler, type ImageSampler } from '../tasks/sampling/sample.ts';
import { openModel } from './open-model.ts';
import { toSentError } from './sent-error.ts';
import {
  type DrawRequest,
  memoryOf,
  type OpenedModel,
  type PageMessage,
  type WebDevice,
  type WorkerMessage,
  type WorkerSamplerOptions,
} from './worker-protocol.ts';

/** A worker's global scope, or one end of a `MessageChannel`. */
export interface WorkerScope {
  onmessage: ((event: MessageEvent<PageMessage>) => void) | null;
  postMessage(message: WorkerMessage, transfer: ArrayBuffer[]): void;
}

/**
 * The whole program of a worker that samples; `openSampler` on the page is its other side.
 *
 *     import { serveSampler } from 'udit/web';
 *     serveSampler();
 */
export function serveSampler(scope: WorkerScope = globalThis as unknown as WorkerScope): void {
  const service = new SamplerService(scope);
  scope.onmessage = ({ data }) => service.answer(data);
}

class SamplerService {
  readonly #scope: WorkerScope;
  readonly #drawings = new Map<number, AbortController>();
  #sampler: ImageSampler | undefined;

  constructor(scope: WorkerScope) {
    this.#scope = scope;
  }

  async answer(message: PageMessage): Promise<void> {
    const { id } = message;
    try {
      if (message.kind === 'open')
        this.#send({ id, kind: 'opened', model: await this.#open(message.options) });
      if (message.kind === 'draw') await this.#draw(id, message.request);
      if (message.kind === 'stop') this.#drawings.get(id)?.abort();
      if (message.kind === 'release') await this.#release();
      if (message.kind === 'draw' || message.kind === 'release') this.#send({ id, kind: 'done' });
    } catch (error) {
      this.#send({ id, kind: 'failed', error: toSentError(error) });
    }
  }

  async #open({ model, device, weights, ...options }: WorkerSamplerOptions): Promise<OpenedModel> {
    const isAddress = typeof model === 'string' || model instanceof URL;
    const saved = await openModel(isAddress ? await fetch(model) : model, { weights });
    const backend = await openBackend(device ?? 'wasm');
    this.#sampler = await createSampler(saved, {
      ...options,
      threads: options.threads ?? defaultThreads(),
      backend,
    });
    return {
      card: saved.card,
      settings: this.#sampler.settings,
      device: backend.name as OpenedModel['device'],
      imageShape: this.#sampler.imageShape,
    };
  }

  async #draw(id: number, { hasProgress, ...request }: DrawRequest): Promise<void> {
    if (this.#sampler === undefined) {
      throw new ConfigError({ where: 'sampling worker', problem: 'no model is open', fix: 'open one first' });
    }
    const controller = new AbortController();
    this.#drawings.set(id, controller);
    try {
      const batches = this.#sampler.batches({
        ...request,
        signal: controller.signal,
        ...(hasProgress ? { onStep: (progress) => this.#send({ id, kind: 'step', progress }) } : {}),
      });
      for await (const batch of batches) this.#send({ id, kind: 'batch', batch }, memoryOf(batch.images));
    } finally {
      this.#drawings.delete(id);
    }
  }

  async #release(): Promise<void> {
    for (const controller of this.#drawings.values()) controller.abort();
    await this.#sampler?.release();
    this.#sampler = undefined;
  }

  #send(message: WorkerMessage, transfer: ArrayBuffer[] = []): void {
    this.#scope.postMessage(message, transfer);
  }
}

/** Half of the cores, at most four, as ONNX Runtime chooses; where a page is not isolated the backend makes it one. */
function defaultThreads(): number {
  const { hardwareConcurrency: cores = 1 } = (globalThis.navigator ?? {}) as { hardwareConcurrency?: number };
  return Math.min(4, Math.ceil(cores / 2));
}

/** Each backend is loaded when it is asked for: their WebAssembly files are 14 and 27 MB. */
async function openBackend(device: WebDevice): Promise<Backend> {
  if (device === 'wasm') return (await import('../engine/runtime/wasm-web.ts')).wasmBackend;
  if (device === 'auto' && !(await hasGpu())) return openBackend('wasm');
  return (await import('../engine/runtime/webgpu-web.ts')).webgpuBackend;
}

interface GpuNavigator {
  readonly gpu?: {
    requestAdapter(): Promise<{ readonly info?: { readonly isFallbackAdapter?: boolean } } | null>;
  };
}

/** A fallback adapter computes on the CPU, slower than WebAssembly does. */
async function hasGpu(): Promise<boolean> {
  const adapter = await (globalThis.navigator as GpuNavigator | undefined)?.gpu?.requestAdapter();
  return adapter !== null && adapter !== undefined && adapter.info?.isFallbackAdapter !== true;
}
