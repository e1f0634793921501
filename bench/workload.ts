/** @file The work that is timed, the same as the peer's: shapes, loss and optimizer; see peer/README.md. */

import { compileInference } from '../src/compile/inference.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf } from '../src/core/host-tensor.ts';
import { fold, normal, randomKey, uniform } from '../src/core/random.ts';
import { sizeOf } from '../src/core/shape.ts';
import type { Batch } from '../src/data/dataset.ts';
import { gaussianObjective } from '../src/diffusion/gaussian-objective.ts';
import { graphOf } from '../src/graph/graph.ts';
import { input } from '../src/graph/operators.ts';
import type { Unlabelled } from '../src/graph/tensor.ts';
import type { Denoiser } from '../src/models/denoiser.ts';
import { presetSpec } from '../src/models/presets.ts';
import { createModel } from '../src/models/registry.ts';
import { initialise, normalWith, zeros } from '../src/nn/initialise.ts';
import { cpuBackend } from '../src/runtime/ort-node.ts';
import { drawRandomness } from '../src/train/loss-graph.ts';
import { resolveTrainConfig } from '../src/train/train-config.ts';
import { TrainState } from '../src/train/train-state.ts';
import { TrainStep } from '../src/train/train-step.ts';
import type { Task } from './options.ts';

export interface WorkloadOptions {
  readonly model: string;
  readonly batch: number;
  readonly threads: number;
  /** Writes ONNX Runtime's per-operation profile under this prefix at release. */
  readonly profilePrefix?: string;
}

export interface Work {
  /** One iteration. */
  run(): Promise<unknown>;
  release(): Promise<void>;
}

const KEY = randomKey(0);

export function createWork(task: Task, options: WorkloadOptions): Promise<Work> {
  const model = createModel(presetSpec(options.model));
  return task === 'forward' ? forwardWork(model, options) : trainWork(model, options);
}

/** The merged network on a batch. */
async function forwardWork(model: Denoiser, { batch, ...compileOptions }: WorkloadOptions): Promise<Work> {
  const images = drawImages(model, batch);
  const [x, y] = [input('x', images.x.shape), input('y', [batch], 'i64')];
  const out = model.apply(x as Unlabelled, { t: input('t', [batch]) as Unlabelled, y: y as Unlabelled });
  const session = await compileInference(graphOf({ out }), nonzeroWeights(model), cpuBackend, compileOptions);
  const times = Array.from(uniform(fold(KEY, 't'), batch), (draw) => Math.floor(draw * 1000));
  const feeds = new Map<string, HostTensor>([
    ['x', images.x],
    ['y', images.y],
    ['t', tensorOf('f32', [batch], times)],
  ]);
  return { run: () => session.run(feeds), release: () => session.release() };
}

/** Forward, mse + vb loss, backward, AdamW (lr 1e-4, no decay) and the moving average. */
async function trainWork(model: Denoiser, { batch, ...compileOptions }: WorkloadOptions): Promise<Work> {
  const objective = gaussianObjective();
  const state = TrainState.initial(model, 0);
  const weights = nonzeroWeights(model);
  state.layout.fill(state.buffers.parameters, weights);
  state.layout.fill(state.buffers.ema, weights);
  const { optimizer } = resolveTrainConfig([{ model: { preset: 'U-DiT-S' } }]);
  const config = { optimizer, training: { steps: 1_000_000, batchSize: batch, shards: 1, seed: 0 } };
  const step = await TrainStep.compile(model, objective, state, config, cpuBackend, compileOptions);
  const images = drawImages(model, batch);
  let count = 0;
  return {
    run: () => {
      count += 1;
      return step.run(count, drawRandomness(KEY, count, images, model, objective));
    },
    release: () => step.release(),
  };
}

/** Images and classes, drawn once. */
function drawImages({ config }: Denoiser, batch: number): Batch {
  const shape = [batch, config.inChannels, config.inputSize, config.inputSize];
  const classes = Array.from(uniform(fold(KEY, 'y'), batch), (draw) => Math.floor(draw * config.numClasses));
  return {
    x: hostTensor('f32', shape, normal(fold(KEY, 'x'), sizeOf(shape))),
    y: tensorOf('i64', [batch], classes),
  };
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
