/**
 * @file Sessions of what onnxruntime-node and onnxruntime-web share: their common JavaScript interface. Threads load this
 * each, so it imports little.
 */
import type * as Ort from 'onnxruntime-common';
import type { DType, TensorData } from '../../core/dtype.ts';
import { RuntimeUnavailableError } from '../../core/errors.ts';
import { type HostTensor, hostTensor, type TensorMap } from '../../core/host-tensor.ts';
import {
  type BackendName,
  isGpu,
  type LoadableModel,
  ModelRefusedError,
  type Session,
  type SessionOptions,
} from './session.ts';

export type OrtModule = Pick<typeof Ort, 'InferenceSession' | 'Tensor' | 'env'>;

const ORT_TYPES: Readonly<Record<DType, Ort.Tensor.Type>> = {
  f32: 'float32',
  f64: 'float64',
  i32: 'int32',
  i64: 'int64',
  u8: 'uint8',
  i8: 'int8',
  bool: 'bool',
};
const DTYPES = new Map(Object.entries(ORT_TYPES).map(([dtype, type]) => [type, dtype as DType]));

/**
 * The first replaces nodes by new ones, which are then executed first: that undoes the order lowering gave the
 * gradients. The second would keep an activation that the backward pass computes again to save memory.
 */
const UNWANTED_IN_TRAINING = 'TransposeOptimizer;CommonSubexpressionElimination';

/** ONNX Runtime calls its execution providers as we do. */
export async function createOrtSession(
  name: BackendName,
  ort: OrtModule,
  model: LoadableModel,
  options: SessionOptions,
): Promise<Session> {
  const ortOptions = sessionOptions(model, options, name);
  try {
    const session =
      'bytes' in model
        ? await ort.InferenceSession.create(model.bytes, ortOptions)
        : await ort.InferenceSession.create(model.path, ortOptions);
    return wrapSession(ort, session, name);
  } catch (cause) {
    throw loadError(name, cause);
  }
}

/** @throws RuntimeUnavailableError where a runtime that works in the thread which calls it is asked for more */
export function expectOneWorker(name: BackendName, workers: number): void {
  if (workers === 1) return;
  throw new RuntimeUnavailableError({
    where: `runtime ${name}`,
    problem: `${workers} workers are requested, but it has one: the calling thread`,
    fix: 'use 1 worker',
  });
}

export function loadError(name: BackendName, cause: unknown): RuntimeUnavailableError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const Failure = OUT_OF_MEMORY.test(reason) ? RuntimeUnavailableError : ModelRefusedError;
  return new Failure({
    where: `runtime ${name}`,
    problem: `the model could not be loaded: ${reason}`,
    cause,
  });
}

/** How ONNX Runtime, C++ and JavaScript say so. */
const OUT_OF_MEMORY = /bad_alloc|failed to allocate|out of memory|allocation failed/i;

export function sessionOptions(
  model: LoadableModel,
  { threads = 1, purpose, plansMemory = true, profilePrefix }: SessionOptions,
  name: BackendName,
): Ort.InferenceSession.SessionOptions {
  const isLean = purpose !== 'inference';
  const isOptimised = 'path' in model && model.isOptimised;
  return {
    executionProviders: [name],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    extra: {
      // Threads that wait must not take the core from whoever works: other sessions, the data, the user.
      session: {
        intra_op: { allow_spinning: '0' },
        // What a GPU has no kernel for would go to the CPU and back, silently and slowly.
        ...(isGpu(name) ? { disable_cpu_ep_fallback: '1' } : {}),
      },
      ...(isLean ? { optimization: { disable_specified_optimizers: UNWANTED_IN_TRAINING } } : {}),
    },
    graphOptimizationLevel: isOptimised ? 'disabled' : isLean ? 'basic' : 'all',
    // A training graph frees most of what it makes; kept in an arena, its peak is a quarter higher (LOG.md).
    enableMemPattern: plansMemory && !isLean,
    // A profile needs one: its records keep freed blocks apart, and fresh pages would be counted as time of operations.
    enableCpuMemArena: !isLean || profilePrefix !== undefined,
    // Of GPUs fatal errors alone: others are thrown, too, and looked into where they are caught.
    logSeverityLevel: isGpu(name) ? 4 : 3,
    ...('data' in model ? { externalData: [{ path: model.data.name, data: model.data.bytes }] } : {}),
    ...(profilePrefix === undefined ? {} : { enableProfiling: true, profileFilePrefix: profilePrefix }),
  };
}

function wrapSession(ort: OrtModule, session: Ort.InferenceSession, name: BackendName): Session {
  const toOrt = ({ dtype, shape, data }: HostTensor): Ort.Tensor =>
    dtype === 'i64' && isGpu(name)
      ? new ort.Tensor('int32', Int32Array.from(data as BigInt64Array, Number), shape)
      : new ort.Tensor(ORT_TYPES[dtype] as 'float32', data as Float32Array, shape);
  const fromOrt = (tensor: Ort.Tensor): HostTensor =>
    hostTensor(DTYPES.get(tensor.type)!, tensor.dims, tensor.data as TensorData as Float32Array);
  /** Runs under way. Memory that the library computes in must not be freed. */
  const running = new Set<Promise<unknown>>();
  let released: Promise<void> | undefined;
  return {
    async run(feeds: TensorMap, fetches?: TensorMap) {
      if (released !== undefined) {
        throw new RuntimeUnavailableError({
          where: `runtime ${name}`,
          problem: 'the session has been released',
        });
      }
      const ortFeeds: Record<string, Ort.Tensor> = {};
      for (const name of session.inputNames) {
        const feed = feeds.get(name);
        if (feed === undefined) {
          throw new RuntimeUnavailableError({
            where: 'session.run',
            problem: `no value is fed for input ${name}`,
          });
        }
        ortFeeds[name] = toOrt(feed);
      }
      const ortFetches: Record<string, Ort.Tensor | null> = {};
      for (const name of session.outputNames) {
        const buffer = fetches?.get(name);
        ortFetches[name] = buffer === undefined ? null : toOrt(buffer);
      }
      const run = session.run(ortFeeds, ortFetches);
      running.add(run);
      try {
        const results = await run;
        return new Map(
          Object.entries(results).map(([name, tensor]) => [name, fetches?.get(name) ?? fromOrt(tensor)]),
        );
      } finally {
        running.delete(run);
      }
    },
    release() {
      released ??= Promise.allSettled(running).then(() => session.release());
      return released;
    },
  };
}
