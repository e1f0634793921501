/** @file What a runtime offers, whichever library is behind it. */
import { RuntimeUnavailableError } from '../../core/errors.ts';
import type { TensorMap } from '../../core/host-tensor.ts';
import type { LoweringFeatures } from '../onnx/lowering.ts';

/** A runtime cannot read a model: not for want of memory, nor because it was asked for what it does not have. */
export class ModelRefusedError extends RuntimeUnavailableError {}

/** A model to load. */
export type LoadableModel = ModelInMemory | ModelFile;

export interface ModelInMemory {
  /** The serialised ONNX model. */
  readonly bytes: Uint8Array;
  /** The file beside it that holds its large initialisers, by the name under which the model refers to it. */
  readonly data?: { readonly name: string; readonly bytes: Uint8Array };
}

/** A model on disk, its data file beside it: mapped, not read, so that sessions which load it share its memory. */
export interface ModelFile {
  readonly path: string;
  /** Was it saved by {@link Backend.optimise}? Then there is nothing left to optimise. */
  readonly isOptimised: boolean;
}

/** A process has address space for about a hundred threads with a runtime each; more abort it. */
export const MOST_WORKERS = 64;

export interface SessionOptions {
  /** Threads inside one operation. Default 1: throughput comes from several one-thread sessions. */
  readonly threads?: number;
  /**
   * How many runs go on at once, each in a thread (with `threads`) of its own; one also leaves the calling thread free.
   * Without it a run keeps the calling thread until it is done, but copies neither feeds nor results.
   */
  readonly workers?: number;
  /**
   * `inference` applies every graph optimisation, including blocked layouts. `training` applies the basic ones and
   * plans no memory pattern, which costs a third of the peak memory of a training graph. `folding` does the same for
   * graphs that run a few times, and unlike training keeps no memory for the next run.
   */
  readonly purpose: 'inference' | 'training' | 'folding';
  /**
   * Lays out all values of an inference in one block of memory, from the second run on; it saves 2 % of the time of a small
   * model. The memory of the first run stays beside it. Default true; training and folding never do.
   */
  readonly plansMemory?: boolean;
  /** Writes a per-operation profile to a file with this prefix. */
  readonly profilePrefix?: string;
}

/** A loaded model. */
export interface Session {
  /**
   * Runs the model once. Calls that find all workers busy wait for one, in their order.
   *
   * @param feeds - a value for every input
   * @param fetches - buffers that receive outputs of these names; outputs not named here are newly allocated. A fetched
   * buffer must not be fed in the same run.
   */
  run(feeds: TensorMap, fetches?: TensorMap): Promise<TensorMap>;
  release(): Promise<void>;
}

export type BackendName = 'cpu' | 'wasm' | 'webgpu' | 'cuda';

/** A GPU runs one model at a time, whole, and in forms of its own (`GPU` of onnx/lowering.ts). */
export const isGpu = (name: BackendName): boolean => name === 'webgpu' || name === 'cuda';

export interface Machine {
  readonly cores: number;
  /** In bytes, now. */
  freeMemory(): number;
}

export interface Backend {
  readonly name: BackendName;
  /** Of the library behind it. */
  readonly version: string;
  /** What this backend executes beside standard ONNX. */
  features(): Promise<LoweringFeatures>;
  /**
   * Begins to work with as many threads, by default one, where their number is that of all sessions and stays: to be called
   * before weights are folded for a session of several.
   *
   * @throws RuntimeUnavailableError if it has begun with fewer
   */
  start?(threads: number | undefined): void;
  /** What computes with weights before they are loaded. Default: this backend; a GPU is no use for what is run once. */
  readonly foldsOn?: Backend;
  /** What its sessions can be shared out among; absent where there is one worker of one thread. */
  readonly machine?: Machine;
  /** @throws RuntimeUnavailableError if the model cannot be loaded */
  createSession(model: LoadableModel, options: SessionOptions): Promise<Session>;
  /**
   * Saves the model at `path`, as it has been optimised for inference on this machine, at `optimisedPath`, with its
   * weights in `<optimisedPath>.data`. It loads several times faster. Absent where models are not loaded from files.
   *
   * @throws RuntimeUnavailableError if the model cannot be loaded, or saved
   */
  optimise?(path: string, optimisedPath: string): Promise<void>;
}
