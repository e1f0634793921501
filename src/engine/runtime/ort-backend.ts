/** @file One of the two libraries of ONNX Runtime as a backend, and what it executes beside standard ONNX. */
import { hostTensor } from '../../core/host-tensor.ts';
import { GPU, type LoweringFeatures, PORTABLE } from '../onnx/lowering.ts';
import { ModelWriter } from '../onnx/model-writer.ts';
import { createOrtSession, type OrtModule } from './ort.ts';
import { type Backend, type BackendName, isGpu } from './session.ts';

export function ortBackend(name: BackendName, ort: OrtModule): Backend {
  const createSession: Backend['createSession'] = (model, options) =>
    createOrtSession(name, ort, model, options);
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
