/** @file The work that is timed, the same as the peer's: shapes, sampler, loss and optimizer; see bench/peer/README.md. */

import { compileInference } from '../compile/inference.ts';
import type { CompileOptions } from '../compile/training.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf } from '../core/host-tensor.ts';
import { fold, normal, randomKey, uniform } from '../core/random.ts';
import { sizeOf } from '../core/shape.ts';
import type { Batch } from '../data/dataset.ts';
import { createObjective } from '../diffusion/objectives.ts';
import { graphOf } from '../graph/graph.ts';
import { input } from '../graph/operators.ts';
import type { Unlabelled } from '../graph/tensor.ts';
import type { Denoiser } from '../models/denoiser.ts';
import { presetSpec } from '../models/presets.ts';
import { createModel } from '../models/registry.ts';
import { initialise, normalWith, zeros } from '../nn/initialise.ts';
import type { Backend, Session } from '../runtime/session.ts';
import { createSampler } from '../sampling/sample.ts';
import { drawRandomness } from '../train/loss-graph.ts';
import { resolveTrainConfig } from '../train/train-config.ts';
import { TrainState } from '../train/train-state.ts';
import { TrainStep } from '../train/train-step.ts';
import type { Device, Task, Workload } from './plan.ts';

export interface Work {
  /** One iteration. */
  run(): Promise<unknown>;
  /** What a reader of the numbers should know, beside what was asked for. */
  readonly facts?: Readonly<Record<string, string | number>>;
  release(): Promise<void>;
}

const KEY = randomKey(0);

const WORKS: Readonly<Record<Task, (model: Denoiser, workload: Workload) => Promise<Work>>> = {
  load: loadWork,
  forward: forwardWork,
  sample: sampleWork,
  train: trainWork,
};

export function createWork(workload: Workload): Promise<Work> {
  return WORKS[workload.task](createModel(presetSpec(workload.model)), workload);
}

/** From weights in memory to a session that is ready: tracing, folding, lowering and loading. */
async function loadWork(model: Denoiser, workload: Workload): Promise<Work> {
  const weights = nonzeroWeights(model);
  const backend = await backendFor(workload);
  return {
    run: async () => (await compileForward(model, weights, backend, workload)).release(),
    release: async () => {},
  };
}

/** The merged network on a batch. */
async function forwardWork(model: Denoiser, workload: Workload): Promise<Work> {
  const backend = await backendFor(workload);
  const weights = nonzeroWeights(model);
  const session = await compileForward(model, weights, backend, workload);
  const images = drawImages(model, workload.batch / workload.workers);
  const times = Array.from(uniform(fold(KEY, 't'), images.y.data.length), (draw) => Math.floor(draw * 1000));
  const feeds = new Map<string, HostTensor>([
    ['x', images.x],
    ['y', images.y],
    ['t', tensorOf('f32', [times.length], times)],
  ]);
  return {
    run: () => Promise.all(Array.from({ length: workload.workers }, () => session.run(feeds))),
    release: () => session.release(),
  };
}

function compileForward(
  model: Denoiser,
  weights: TensorMap,
  backend: Backend,
  workload: Workload,
): Promise<Session> {
  const { batch, workers } = workload;
  const { inChannels, inputSize } = model.config;
  const count = batch / workers;
  const x = input('x', [count, inChannels, inputSize, inputSize]) as Unlabelled;
  const t = input('t', [count]) as Unlabelled;
  const y = input('y', [count], 'i64') as Unlabelled;
  return compileInference(
    graphOf({ out: model.apply(x, { t, y }) }),
    weights,
    backend,
    compileOptions(workload),
  );
}

/** Images from noise, with guidance where the model has a null label: what `udit sample` does before it writes files. */
async function sampleWork(model: Denoiser, workload: Workload): Promise<Work> {
  const { objective } = resolveTrainConfig([{ model: { preset: workload.model } }]);
  const saved = { model, weights: nonzeroWeights(model), card: { objective } };
  const { batch, workers, threads, sampling } = workload;
  const backend = await backendFor(workload);
  const sampler = await createSampler(saved, {
    ...sampling,
    ...{ backend, workers, threads, batchSize: batch / workers },
  });
  const labels = drawClasses(model, batch);
  const { stepCount, nfe, settings } = sampler;
  return {
    run: () => sampler.generate({ labels, seed: 0 }),
    facts: { sampler: settings.sampler, steps: stepCount, cfgScale: settings.cfgScale, evaluations: nfe },
    release: () => sampler.release(),
  };
}

/** The preset's recipe: loss, backward, AdamW and the moving average; workers are shards of the batch. */
async function trainWork(model: Denoiser, workload: Workload): Promise<Work> {
  const { model: preset, batch: batchSize, workers: shards } = workload;
  const config = resolveTrainConfig([
    { model: { preset }, training: { steps: 1_000_000, batchSize, shards } },
  ]);
  const objective = createObjective(config.objective);
  const state = TrainState.initial(model, 0);
  const weights = nonzeroWeights(model);
  state.layout.fill(state.buffers.parameters, weights);
  state.layout.fill(state.buffers.ema, weights);
  const backend = await backendFor(workload);
  const options = { ...compileOptions(workload), ...(shards > 1 ? { workers: 1 } : {}) }; // for each shard
  const step = await TrainStep.compile(model, objective, state, config, backend, options);
  const images = drawImages(model, batchSize);
  let count = 0;
  return {
    run: () => {
      count += 1;
      return step.run(count, drawRandomness(KEY, count, images, model, objective));
    },
    release: () => step.release(),
  };
}

/** A library is loaded when it is asked for only. */
async function backendFor({ device }: Workload): Promise<Backend> {
  const backends: Readonly<Record<Device, () => Promise<Backend>>> = {
    cpu: async () => (await import('../runtime/ort-node.ts')).cpuBackend,
    wasm: async () => (await import('../runtime/ort-web.ts')).wasmBackend,
  };
  return backends[device]();
}

/** Several workers work at the same time in threads of their own; one alone needs none. */
function compileOptions({ workers, threads, profilePrefix }: Workload): CompileOptions {
  return {
    threads,
    ...(workers > 1 ? { workers } : {}),
    ...(profilePrefix === undefined ? {} : { profilePrefix }),
  };
}

/** Images and classes, drawn once. */
function drawImages(model: Denoiser, count: number): Batch {
  const { inChannels, inputSize } = model.config;
  const shape = [count, inChannels, inputSize, inputSize];
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
