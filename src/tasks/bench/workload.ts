/** @file The work that is timed, the same as the peer's: shapes, sampler, loss and optimizer; see bench/peer/README.md. */

import { Difference } from '../../core/difference.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf } from '../../core/host-tensor.ts';
import { fold, normal, randomKey, uniform } from '../../core/random.ts';
import { sizeOf } from '../../core/shape.ts';
import type { TensorSource } from '../../core/tensor-source.ts';
import type { Batch } from '../../data/datasets/samples.ts';
import { createObjective } from '../../diffusion/objectives.ts';
import type { CompileCache } from '../../engine/compile/cache.ts';
import { DiskCache } from '../../engine/compile/disk-cache-node.ts';
import { compileInference, groupingFor } from '../../engine/compile/inference.ts';
import type { CompileOptions } from '../../engine/compile/training.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { backendFor } from '../../engine/runtime/devices-node.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import type { Denoiser } from '../../networks/denoisers/denoiser.ts';
import { initialise, initialValues, normalWith, zeros } from '../../networks/nn/initialise.ts';
import type { Network } from '../../networks/nn/network.ts';
import { inPrecision, type Precision } from '../../networks/precision.ts';
import { presetSpec } from '../../networks/presets.ts';
import { createModel } from '../../networks/registry.ts';
import { imageShapeOf, traceNetwork } from '../../networks/trace.ts';
import { createSampler } from '../sampling/sample.ts';
import { resolveTrainConfig } from '../training/config/train-config.ts';
import { denoising } from '../training/step/denoising.ts';
import { TrainState } from '../training/step/train-state.ts';
import { TrainStep } from '../training/step/train-step.ts';
import { type DenoiserTask, isSingleRun, type SingleRunTask, type Workload } from './plan.ts';
import { singleRun } from './single-run.ts';

/** A workload with what it is done with. */
interface Setting extends Workload {
  readonly backend: Backend;
  readonly cache: CompileCache;
}

export interface Work {
  /** One iteration. */
  run(): Promise<unknown>;
  /** Relative L2 of what comes out to the same in f32, where that is measured: forward. */
  readonly error?: () => Promise<number>;
  /** It took this long from weights in memory to sessions that are ready. */
  readonly loadSeconds: number;
  /** What a reader of the numbers should know, beside what was asked for. */
  readonly facts: Readonly<Record<string, string | number>>;
  release(): Promise<void>;
}

const KEY = randomKey(0);

const WORKS: Readonly<Record<DenoiserTask, (model: Denoiser, setting: Setting) => Promise<Work>>> = {
  forward: forwardWork,
  sample: sampleWork,
  train: trainWork,
};

/** @param cacheFolder - where compiled models are kept, and found from the second time on */
export async function createWork(workload: Workload, cacheFolder: string): Promise<Work> {
  const backend = await backendFor(workload.device);
  const cache = new DiskCache({ folder: cacheFolder, maxBytes: Number.POSITIVE_INFINITY });
  const { task, model } = workload;
  const setting = { ...workload, backend, cache };
  const work = await (isSingleRun(task)
    ? singleRunWork(task, setting)
    : WORKS[task](createModel(presetSpec(model)), setting));
  return { ...work, facts: { onnxruntime: backend.version, ...work.facts } };
}

/** The merged network on a batch. */
async function forwardWork(model: Denoiser, setting: Setting): Promise<Work> {
  const { backend, cache, batch, workers, precision } = setting;
  const weights = nonzeroWeights(model);
  const count = batch / workers;
  const grouping = await groupingFor(backend);
  const compile = (chosen: Precision, options: CompileOptions) => {
    const graph = inPrecision(
      graphOf({ out: traceNetwork(model, { batch: count, ...grouping }).outputs.prediction }),
      model,
      chosen,
    );
    return compileInference(graph, weights, backend, { cache, ...options });
  };
  const { loaded: session, loadSeconds } = await timedLoad(() => compile(precision, compileOptions(setting)));
  const images = drawImages(model, count);
  const times = Array.from(uniform(fold(KEY, 't'), count), (draw) => Math.floor(draw * 1000));
  const feeds = new Map<string, HostTensor>([
    ['x', images.x],
    ['y', images.y],
    ['t', tensorOf('f32', [count], times)],
  ]);
  return {
    run: () => Promise.all(Array.from({ length: workers }, () => session.run(feeds))),
    error: async () => {
      const exact = await compile('f32', {});
      try {
        const difference = new Difference();
        difference.add(await session.run(feeds), await exact.run(feeds));
        return difference.relativeL2;
      } finally {
        await exact.release();
      }
    },
    loadSeconds,
    facts: {},
    release: () => session.release(),
  };
}

/** Drawn when they are read, as a file would be: those of the other half of an autoencoder take no memory. */
function initialWeights(network: Network): TensorSource {
  const parameters = new Map([...network.parameters()].map((parameter) => [parameter.name, parameter]));
  return {
    infos: new Map([...parameters].map(([name, { shape }]) => [name, { dtype: 'f32', shape }])),
    async read(name) {
      const drawn = initialValues([parameters.get(name)!], network.initRule, fold(KEY, 'weights'));
      return new Map(drawn).get(name)!;
    },
  };
}

/** A half of an autoencoder, or a network of features, on a batch. */
async function singleRunWork(task: SingleRunTask, setting: Setting): Promise<Work> {
  const { backend, cache, model, batch, workers, size } = setting;
  const { graph, network, feed } = singleRun(task, { model, size, batch: batch / workers });
  const { loaded: session, loadSeconds } = await timedLoad(() =>
    compileInference(graph, initialWeights(network), backend, {
      cache,
      ...compileOptions(setting),
    }),
  );
  const feeds = new Map([
    [feed.name, hostTensor('f32', feed.shape, normal(fold(KEY, 'x'), sizeOf(feed.shape)))],
  ]);
  return {
    run: () => Promise.all(Array.from({ length: workers }, () => session.run(feeds))),
    loadSeconds,
    facts: {},
    release: () => session.release(),
  };
}

/** Images from noise, with guidance where the model has a null label: what `udit sample` does before it writes files. */
async function sampleWork(model: Denoiser, setting: Setting): Promise<Work> {
  const { backend, cache, batch, workers, threads, precision, sampling } = setting;
  const { objective } = resolveTrainConfig([{ model: { preset: setting.model } }]);
  const saved = { network: model, weights: nonzeroWeights(model), card: { objective } };
  const { loaded: sampler, loadSeconds } = await timedLoad(() =>
    createSampler(saved, {
      ...sampling,
      ...{ backend, cache, precision, workers, threads, batchSize: batch / workers },
    }),
  );
  const labels = drawClasses(model, batch);
  const { settings, stepCount: steps = 'chosen on the way', nfe: evaluations = steps } = sampler;
  return {
    run: () => sampler.generate({ labels, seed: 0 }),
    loadSeconds,
    facts: { sampler: settings.sampler, steps, evaluations, cfgScale: settings.cfgScale },
    release: () => sampler.release(),
  };
}

/** The preset's recipe: loss, backward, AdamW and the moving average; workers are shards of the batch. */
async function trainWork(model: Denoiser, setting: Setting): Promise<Work> {
  const { model: preset, batch: batchSize, workers: shards, backend } = setting;
  const config = resolveTrainConfig([
    { model: { preset }, training: { steps: 1_000_000, batchSize, shards } },
  ]);
  const learning = denoising(model, createObjective(config.objective));
  const state = TrainState.initial(model, 0, config);
  const weights = nonzeroWeights(model);
  state.layout.fill(state.buffers.parameters, weights);
  for (const average of state.buffers.averages.values()) state.layout.fill(average, weights);
  const options = { ...compileOptions(setting), ...(shards > 1 ? { workers: 1 } : {}) }; // for each shard
  const { loaded: step, loadSeconds } = await timedLoad(() =>
    TrainStep.compile(learning, state, config, backend, options),
  );
  const images = drawImages(model, batchSize);
  let count = 0;
  return {
    run: () => {
      count += 1;
      return step.run(count, learning.feedsOf(KEY, count, images));
    },
    loadSeconds,
    facts: {},
    release: () => step.release(),
  };
}

/** Several workers work at the same time in threads of their own; one alone needs none. */
function compileOptions({ workers, threads, profilePrefix }: Workload): CompileOptions {
  return {
    threads,
    ...(workers > 1 ? { workers } : {}),
    ...(profilePrefix === undefined ? {} : { profilePrefix }),
  };
}

async function timedLoad<T>(
  load: () => Promise<T>,
): Promise<{ readonly loaded: T; readonly loadSeconds: number }> {
  const began = performance.now();
  const loaded = await load();
  return { loaded, loadSeconds: (performance.now() - began) / 1000 };
}

/** Images and classes, drawn once. */
function drawImages(model: Denoiser, count: number): Batch {
  const shape = [count, ...imageShapeOf(model.config)];
  return {
    x: hostTensor('f32', shape, normal(fold(KEY, 'x'), sizeOf(shape))),
    y: tensorOf('i64', [count], drawClasses(model, count)),
  };
}

function drawClasses({ config }: Denoiser, count: number): number[] {
  return Array.from(uniform(fold(KEY, 'y'), count), (draw) => Math.floor(draw * config.numClasses));
}

/** Initial weights with the zeros drawn anew: zero gradients and denormal numbers would be timed otherwise. */
function nonzeroWeights(model: Denoiser): TensorMap {
  return initialise(
    model,
    (name, shape) => {
      const initialiser = model.initRule(name, shape);
      return initialiser === zeros ? normalWith(0.02) : initialiser;
    },
    fold(KEY, 'weights'),
  );
}
