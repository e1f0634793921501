/** @file The loss on pictures that training never sees, at fixed times and with fixed noise: comparable over a run. */

import { type CompileOptions, compileTraining } from '../compile/training.ts';
import { hostTensor, type TensorMap, tensorOf, toNumbers } from '../core/host-tensor.ts';
import { fold, normal, randomKey } from '../core/random.ts';
import { type Dataset, loadBatch } from '../data/dataset.ts';
import type { FlowObjective } from '../diffusion/flow-objective.ts';
import type { GaussianObjective } from '../diffusion/gaussian-objective.ts';
import { graphOf } from '../graph/graph.ts';
import type { Denoiser } from '../models/denoiser.ts';
import type { Backend, Session } from '../runtime/session.ts';
import { buildLoss, feedsOf } from './loss-graph.ts';

/** The same for every run, so that losses of different seeds compare. */
const KEY = fold(randomKey(0), 'held-out loss');

export class HeldOutLoss {
  private readonly session: Session;
  private readonly dataset: Dataset;
  private readonly objective: FlowObjective | GaussianObjective;
  private readonly batchSize: number;

  private constructor(
    session: Session,
    dataset: Dataset,
    objective: FlowObjective | GaussianObjective,
    batchSize: number,
  ) {
    this.session = session;
    this.dataset = dataset;
    this.objective = objective;
    this.batchSize = batchSize;
  }

  static async compile(
    model: Denoiser,
    objective: FlowObjective | GaussianObjective,
    dataset: Dataset,
    batchSize: number,
    backend: Backend,
    options: CompileOptions = {},
  ): Promise<HeldOutLoss> {
    const { perSample } = buildLoss(model, objective, batchSize, { training: false });
    const session = await compileTraining(graphOf({ loss: perSample }), backend, options);
    return new HeldOutLoss(session, dataset, objective, batchSize);
  }

  /** Mean over all held-out pictures, each at one time of the even grid with its own noise. */
  async measure(weights: TensorMap): Promise<number> {
    const { dataset, batchSize } = this;
    // Consecutive pictures are of one class; a stride through the times lets every class meet the whole range.
    const times = toNumbers(this.objective.evaluationTimes(dataset.length));
    const stride = coprimeNear(dataset.length * 0.618, dataset.length);
    let sum = 0;
    for (let start = 0; start < dataset.length; start += batchSize) {
      const count = Math.min(batchSize, dataset.length - start);
      // A last batch that is not full repeats its pictures; the repetitions are not counted.
      const indices = Int32Array.from({ length: batchSize }, (_, i) => start + (i % count));
      const batch = await loadBatch(dataset, indices, null);
      const noise = noiseOf(indices, batch.x.data.length / batchSize);
      const t = tensorOf(
        this.objective.timeType,
        [batchSize],
        Array.from(indices, (index) => times[(index * stride) % dataset.length]!),
      );
      const feeds = feedsOf({ batch, noise: hostTensor('f32', batch.x.shape, noise), t });
      const results = await this.session.run(new Map([...weights, ...feeds]));
      const losses = results.get('loss')!.data as Float32Array;
      for (let i = 0; i < count; i++) sum += losses[i]!;
    }
    return sum / dataset.length;
  }

  release(): Promise<void> {
    return this.session.release();
  }
}

/** Each picture has noise of its own, however batches are cut. */
function noiseOf(indices: Int32Array, valuesPerImage: number): Float32Array {
  const noise = new Float32Array(indices.length * valuesPerImage);
  indices.forEach((index, i) => {
    noise.set(normal(fold(KEY, 'noise', index), valuesPerImage), i * valuesPerImage);
  });
  return noise;
}

/** The first number from `target` on that shares no factor with `length`. */
function coprimeNear(target: number, length: number): number {
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  let candidate = Math.max(1, Math.round(target));
  while (gcd(candidate, length) !== 1) candidate++;
  return candidate;
}
