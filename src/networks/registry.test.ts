import { describe, expect, test } from 'vitest';
import { expectClose } from '../../test/support/closeness.ts';
import { npzOf } from '../../test/support/npz.ts';
import { DISTINCT_PRESETS, tinyPreset } from '../../test/support/tiny-presets.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf, toNumbers } from '../core/host-tensor.ts';
import { fold, normal, type RandomKey, randomKey } from '../core/random.ts';
import { type Shape, sizeOf } from '../core/shape.ts';
import { compileInference } from '../engine/compile/inference.ts';
import { compileTraining } from '../engine/compile/training.ts';
import { checkGraph, graphOf } from '../engine/graph/graph.ts';
import { input, mean, mul } from '../engine/graph/operators.ts';
import type { Tensor } from '../engine/graph/tensor.ts';
import { topologicalOrder } from '../engine/graph/traverse.ts';
import { gradients } from '../engine/graph/vjp.ts';
import { cpuBackend } from '../engine/runtime/cpu-node.ts';
import { parseNpz } from '../formats/npz.ts';
import { parseSafetensors, serialiseSafetensors } from '../formats/safetensors.ts';
import type { Denoiser } from './denoisers/denoiser.ts';
import type { TraceOptions } from './nn/network.ts';
import { createModel } from './registry.ts';
import { imageShapeOf, traceNetwork } from './trace.ts';

const key = randomKey(42);
const COUNT = 2;

function normalTensor(from: RandomKey, shape: Shape, scale = 1): HostTensor<'f32'> {
  return hostTensor(
    'f32',
    shape,
    normal(from, sizeOf(shape)).map((value) => value * scale),
  );
}

/** Fresh weights are zero where adaLN-Zero asks, and so would most gradients be. */
function randomWeights(model: Denoiser): Map<string, HostTensor> {
  return new Map(
    [...model.parameters()].map(({ name, shape }) => {
      const fanIn = shape.length > 1 ? sizeOf(shape.slice(1)) : 16;
      return [name, normalTensor(fold(key, name), shape, 1 / Math.sqrt(fanIn))];
    }),
  );
}

function imagesOf({ config }: Denoiser, count = COUNT): Shape {
  return [count, ...imageShapeOf(config)];
}

function feedsFor(model: Denoiser): Map<string, HostTensor> {
  return new Map<string, HostTensor>([
    ['x', normalTensor(fold(key, 'x'), imagesOf(model))],
    ['t', tensorOf('f32', [COUNT], [3, 700])],
    ['y', tensorOf('i64', [COUNT], [1, 4])],
  ]);
}

function trace(model: Denoiser, form: TraceOptions['form'] = 'merged', batch = COUNT): Tensor {
  return traceNetwork(model, { batch, form }).outputs.prediction;
}

async function infer(out: Tensor, weights: TensorMap, feeds: TensorMap): Promise<ArrayLike<number>> {
  const graph = graphOf({ out });
  checkGraph(graph);
  const session = await compileInference(graph, weights, cpuBackend);
  const results = await session.run(feeds);
  await session.release();
  return toNumbers(results.get('out')!);
}

/** Gradients of a sum over all outputs, each with a weight of its own so that none cancel. */
async function gradientsOf(
  model: Denoiser,
  form: TraceOptions['form'],
  weights: TensorMap,
  feeds: TensorMap,
) {
  const out = trace(model, form);
  const loss = mean(mul(out, input('direction', out.shape)));
  const trained = [...model.parameters()].filter(({ frozen }) => !frozen);
  const derivatives = gradients(
    loss,
    trained.map(({ tensor }) => tensor),
  );
  const graph = graphOf(Object.fromEntries(trained.map(({ name }, i) => [`d ${name}`, derivatives[i]!])));
  checkGraph(graph);
  const session = await compileTraining(graph, cpuBackend);
  const direction = normalTensor(fold(key, 'direction'), out.shape);
  const results = await session.run(new Map([...weights, ...feeds, ['direction', direction]]));
  await session.release();
  return results;
}

/** A table in which row `first` is the mean of itself and row `second`. */
function withMeanOfRows({ shape, data }: HostTensor, first: number, second: number): HostTensor<'f32'> {
  const width = shape[1]!;
  const values = Float32Array.from(data as Float32Array);
  for (let i = 0; i < width; i++) {
    values[first * width + i] = (values[first * width + i]! + values[second * width + i]!) / 2;
  }
  return hostTensor('f32', shape, values);
}

function bytesOf({ data }: HostTensor): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

describe.each(DISTINCT_PRESETS)('%s, made tiny', (name) => {
  const model = createModel(tinyPreset(name));
  const weights = randomWeights(model);
  const feeds = feedsFor(model);

  test('gives the same for images in groups of any size', async () => {
    const count = 3;
    const images = imagesOf(model, count);
    const several = new Map<string, HostTensor>([
      ['x', normalTensor(fold(key, 'x'), images)],
      ['t', tensorOf('f32', [count], [3, 700, 40])],
      ['y', tensorOf('i64', [count], [1, 4, 0])],
    ]);
    const [together, ...grouped] = [{}, { groupBytes: 0 }, { groupBytes: 4 * 2 * 16 * 64 }].map(
      (grouping) => traceNetwork(model, { batch: count, ...grouping }).outputs.prediction,
    );
    const expected = await infer(together!, weights, several);
    const [alone] = grouped;
    expect(topologicalOrder([alone!]).length).toBeGreaterThan(topologicalOrder([together!]).length);
    for (const out of grouped) {
      expectClose(await infer(out, weights, several), expected, { relative: 1e-5 });
    }
  });

  test('predicts finite values that depend on image, time and class', async () => {
    const out = trace(model);
    const [channels, height, width] = imageShapeOf(model.config);
    expect(out.shape).toEqual([COUNT, channels * (model.config.learnSigma ? 2 : 1), height, width]);
    const session = await compileInference(graphOf({ out }), weights, cpuBackend);
    const run = async (change: readonly [string, HostTensor][]) =>
      toNumbers((await session.run(new Map([...feeds, ...change]))).get('out')!);
    const base = Array.from(await run([]));
    expect(base.every(Number.isFinite)).toBe(true);
    for (const change of [
      ['x', normalTensor(fold(key, 'other x'), imagesOf(model))],
      ['t', tensorOf('f32', [COUNT], [3, 200])],
      ['y', tensorOf('i64', [COUNT], [1, 2])],
    ] as const) {
      const other = await run([[...change]]);
      const differs = base.some((value, i) => Math.abs(value - other[i]!) > 1e-3);
      expect(differs, `${change[0]} matters`).toBe(true);
    }
    await session.release();
  });

  test('treats every image of a batch alone', async () => {
    const batch = await infer(trace(model), weights, feeds);
    const size = batch.length / COUNT;
    const single = trace(model, 'merged', 1);
    const image = (feeds.get('x')!.data as Float32Array).slice(-sizeOf(imagesOf(model, 1)));
    const second = new Map<string, HostTensor>([
      ['x', hostTensor('f32', imagesOf(model, 1), image)],
      ['t', tensorOf('f32', [1], [700])],
      ['y', tensorOf('i64', [1], [4])],
    ]);
    expectClose(await infer(single, weights, second), Array.from(batch).slice(size), { relative: 1e-5 });
  });

  test('a dropped class is the null label', async () => {
    const dropped = input('dropped', [model.labelEmbedders, COUNT], 'bool');
    const condition = { t: input('t', [COUNT]), y: input('y', [COUNT], 'i64'), dropped };
    const out = model.apply(input('x', imagesOf(model)), condition);
    const drops = Array.from({ length: model.labelEmbedders * COUNT }, (_, i) => i % COUNT); // the second image
    const shape = [model.labelEmbedders, COUNT];
    const actual = await infer(
      out,
      weights,
      new Map([...feeds, ['dropped', tensorOf('bool', shape, drops)]]),
    );
    const nullLabel = tensorOf('i64', [COUNT], [1, model.config.numClasses]);
    const expected = await infer(trace(model), weights, new Map([...feeds, ['y', nullLabel]]));
    expectClose(actual, expected, { relative: 1e-6 });
  });

  test('between two classes it has the mean of their embeddings', async () => {
    const towards = { y: input('towards', [COUNT], 'i64'), weight: input('weight', [COUNT]) };
    const condition = { t: input('t', [COUNT]), y: input('y', [COUNT], 'i64'), towards };
    const out = model.apply(input('x', imagesOf(model)), condition);
    // The first image is halfway from class 1 to class 3, the second at the end of its way from class 0 to 4.
    const mixed = new Map<string, HostTensor>([
      ['y', tensorOf('i64', [COUNT], [1, 0])],
      ['towards', tensorOf('i64', [COUNT], [3, 4])],
      ['weight', tensorOf('f32', [COUNT], [0.5, 1])],
    ]);
    const actual = await infer(out, weights, new Map([...feeds, ...mixed]));
    const averaged = new Map(
      [...weights].map(([parameter, value]) => [
        parameter,
        parameter.includes('embedding_table') ? withMeanOfRows(value, 1, 3) : value,
      ]),
    );
    expectClose(actual, await infer(trace(model), averaged, feeds), { relative: 1e-5 });
  });

  test('has finite gradients that are not zero, the same in both forms', async () => {
    const merged = await gradientsOf(model, 'merged', weights, feeds);
    const branches = await gradientsOf(model, 'branches', weights, feeds);
    for (const [parameter, gradient] of merged) {
      const values = Array.from(toNumbers(gradient));
      expect(values.every(Number.isFinite), parameter).toBe(true);
      // Attention does not see a constant that is added to all keys, so that part is rounding noise.
      if (!/qkv\.bias$/.test(parameter))
        expect(
          values.some((value) => value !== 0),
          parameter,
        ).toBe(true);
      expectClose(values, toNumbers(branches.get(parameter)!), { relative: 1e-4, absolute: 1e-6 });
    }
  });

  test('computes the same in both forms', async () => {
    const [merged, branches] = [trace(model, 'merged'), trace(model, 'branches')];
    expectClose(await infer(merged, weights, feeds), await infer(branches, weights, feeds), {
      relative: 1e-5,
    });
  });

  test('keeps its weights exactly through files, and predicts the same from them', async () => {
    const archive = parseNpz(await npzOf(weights), 'weights.npz');
    const bytes = new Uint8Array(Buffer.concat(serialiseSafetensors(weights, {})));
    const file = parseSafetensors(bytes, 'weights.safetensors').tensors;
    for (const restored of [archive, file]) {
      expect([...restored.keys()]).toEqual([...weights.keys()]);
      for (const [parameter, value] of restored) {
        expect(value.shape).toEqual(weights.get(parameter)!.shape);
        expect(bytesOf(value).equals(bytesOf(weights.get(parameter)!)), parameter).toBe(true);
      }
    }
    expect(await infer(trace(model), file, feeds)).toEqual(await infer(trace(model), weights, feeds));
  });
});
