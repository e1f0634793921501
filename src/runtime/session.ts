/** @file What a runtime offers, whichever library is behind it. */
import type { TensorMap } from '../core/host-tensor.ts';
import type { LoweringFeatures } from '../onnx/lowering.ts';

export interface SessionOptions {
  /** Threads inside one operation. Default 1: throughput comes from several one-thread sessions. */
  readonly threads?: number;
  /**
   * `inference` applies every graph optimisation, including blocked layouts. `training` applies the basic ones and
   * plans no memory pattern, which costs a third of the peak memory of a training graph.
   */
  readonly purpose: 'inference' | 'training';
  /** Writes a per-operation profile to a file with this prefix. */
  readonly profilePrefix?: string;
}

/** A loaded model. */
export interface Session {
  /**
   * Runs the model once.
   *
   * @param feeds - a value for every input
   * @param fetches - buffers that receive outputs of these names; outputs not named here are newly allocated. A fetched
   * buffer must not be fed in the same run.
   */
  run(feeds: TensorMap, fetches?: TensorMap): Promise<TensorMap>;
  release(): Promise<void>;
}

export interface Backend {
  readonly name: 'cpu' | 'wasm';
  /** What this backend executes beside standard ONNX, found by running a probe once. */
  features(): Promise<LoweringFeatures>;
  /** @throws RuntimeUnavailableError if the model cannot be loaded */
  createSession(model: Uint8Array, options: SessionOptions): Promise<Session>;
}
