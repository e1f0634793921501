/** @file Messages between a page and the worker that samples for it. */
import type { HostTensor } from '../core/host-tensor.ts';
import type { ModelBytes } from '../models/open-bytes.ts';
import type { ModelCard, WeightSet } from '../models/saved-model.ts';
import type { Precision } from '../networks/precision.ts';
import type { SampledBatch, SampleRequest, SamplerOptions, StepProgress } from '../tasks/sampling/sample.ts';
import type { RequestedSettings, SamplingSettings } from '../tasks/sampling/settings.ts';
import type { SentError } from './sent-error.ts';

/** `auto` is WebGPU where the browser has a GPU for it, else WebAssembly. */
export type WebDevice = 'wasm' | 'webgpu' | 'auto';

export interface WorkerSamplerOptions
  extends RequestedSettings,
    Pick<SamplerOptions, 'strength' | 'mixesClasses'> {
  /** Address of a checkpoint, or the whole file. */
  readonly model: string | URL | ModelBytes;
  /** Default: wasm. */
  readonly device?: WebDevice | undefined;
  /** Default: the moving average where there is one. */
  readonly weights?: WeightSet | undefined;
  readonly precision?: Precision | undefined;
  /** Images drawn at once. Default 1. */
  readonly batchSize?: number | undefined;
  /** Threads of WebAssembly; one where the page is not cross-origin isolated. Default: half of the cores, at most 4. */
  readonly threads?: number | undefined;
}

/** What a page asks for. Every request has a number of its own, which its answers repeat. */
export type PageMessage = { readonly id: number } & (
  | { readonly kind: 'open'; readonly options: WorkerSamplerOptions }
  | { readonly kind: 'draw'; readonly request: DrawRequest }
  | { readonly kind: 'stop' }
  | { readonly kind: 'release' }
);

/** A function cannot be sent, so a page does without `isNeeded`. */
export type WorkerSampleRequest = Omit<SampleRequest, 'isNeeded'>;

export interface DrawRequest extends Omit<WorkerSampleRequest, 'signal' | 'onStep'> {
  /** Does the page want to be told of every step? */
  readonly hasProgress: boolean;
}

export interface OpenedModel {
  readonly card: ModelCard;
  readonly settings: SamplingSettings;
  readonly device: Exclude<WebDevice, 'auto'>;
  /** [C, H, W] */
  readonly imageShape: readonly number[];
}

export type WorkerMessage = { readonly id: number } & (
  | { readonly kind: 'opened'; readonly model: OpenedModel }
  | { readonly kind: 'step'; readonly progress: StepProgress }
  | { readonly kind: 'batch'; readonly batch: SampledBatch }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: SentError }
);

/** Memory that a message moves instead of copying. */
export function memoryOf({ data }: HostTensor): ArrayBuffer[] {
  return data.buffer instanceof ArrayBuffer && data.byteLength === data.buffer.byteLength
    ? [data.buffer]
    : [];
}
