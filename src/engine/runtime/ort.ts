/** @file What onnxruntime-node and onnxruntime-web share: their common JavaScript interface. */
import type * as Ort from 'onnxruntime-common';
import type { DType, TensorData } from '../../core/dtype.ts';
import { RuntimeUnavailableError } from '../../core/errors.ts';
import { type HostTensor, hostTensor, type TensorMap } from '../../core/host-tensor.ts';
import { GPU, type LoweringFeatures, PORTABLE } from '../onnx/lowering.ts';
import { ModelWriter } from '../onnx/model-writer.ts';
import {
  type Backend,
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

/** Wraps one of the two libraries as a {@link Backend}; ONNX Runtime calls its execution providers as we do. */
export function ortBackend(name: BackendName, ort: OrtModule): Backend {
  const createSession: Backend['createSession'] = async (model, options) => {
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
  };
  let probed: Promise<LoweringFeatures> | undefined;
  return {
    name,
    version: ort.env.versions.common,
    createSession,
    features() {
      probed ??= isGpu(name) ? Promise.resolve(GPU) : probeFeatures(createSession);
      return probed;
    },
  };
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
  { threads = 1, purpose, profilePrefix }: SessionOptions,
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
    enableMemPattern: !isLean,
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

/** What a library for the CPU executes beside standard ONNX, as small models tell that it loads and runs. */
export async function probeFeatures(createSession: Backend['createSession']): Promise<LoweringFeatures> {
  const [nchwcBlock, contributed] = await Promise.all([
    probeBlockedLayout(createSession),
    probeContributed(createSession),
  ]);
  return { ...PORTABLE, nchwcBlock, contributed };
}

/** Are the operators of `com.microsoft` that lowering uses there? */
async function probeContributed(createSession: Backend['createSession']): Promise<boolean> {
  const writer = new ModelWriter();
  writer.addInput('x', 'f32', [1, 2, 4]);
  const tables = ['cos', 'sin'].map((name) => {
    writer.addInput(name, 'f32', [2, 2]);
    return name;
  });
  const rotated = writer.emit(
    'RotaryEmbedding',
    ['x', writer.integers([0]), ...tables],
    { interleaved: 1, num_heads: 1 },
    { domain: 'com.microsoft' },
  );
  writer.emit('FusedMatMul', [rotated, 'x'], { transB: 1 }, { domain: 'com.microsoft', output: 'product' });
  writer.addOutput('product', 'f32', [1, 2, 2]);
  try {
    await (await createSession({ bytes: writer.toBytes() }, { purpose: 'training' })).release();
    return true;
  } catch {
    return false;
  }
}

/** The blocked layout is internal to ONNX Runtime and exists on some CPUs only; its block size shows in a shape. */
async function probeBlockedLayout(createSession: Backend['createSession']): Promise<number | null> {
  const writer = new ModelWriter();
  writer.addInput('image', 'f32', [1, 1, 1, 16]);
  const blocks = writer.emit(
    'ReorderInput',
    ['image'],
    { channels_last: 1 },
    { domain: 'com.microsoft.nchwc' },
  );
  const padded = writer.emit(
    'ReorderInput',
    ['pixel'],
    { channels_last: 1 },
    { domain: 'com.microsoft.nchwc' },
  );
  writer.addInput('pixel', 'f32', [1, 1, 1, 1]);
  writer.emit(
    'ReorderOutput',
    [blocks],
    { channels: 16, channels_last: 1 },
    { domain: 'com.microsoft.nchwc', output: 'same' },
  );
  writer.emit('Shape', [padded], {}, { output: 'shape' });
  writer.addOutput('same', 'f32', [1, 1, 1, 16]);
  writer.addOutput('shape', 'i64', [4]);
  try {
    const session = await createSession({ bytes: writer.toBytes() }, { purpose: 'folding' });
    const image = Float32Array.from({ length: 16 }, (_, i) => i);
    const feeds = new Map([
      ['image', hostTensor('f32', [1, 1, 1, 16], image)],
      ['pixel', hostTensor('f32', [1, 1, 1, 1], new Float32Array(1))],
    ]);
    const results = await session.run(feeds).finally(() => session.release());
    const survived = results.get('same')!.data.every((value, i) => Number(value) === i);
    const block = Number(results.get('shape')!.data[1]);
    return survived && block > 1 && 16 % block === 0 ? block : null;
  } catch {
    return null;
  }
}
