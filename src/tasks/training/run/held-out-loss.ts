/** @file The loss on pictures that training never sees, at fixed times and with fixed noise: comparable over a run. */
import { setImmediate as nextTick } from 'node:timers/promises';
import { hostTensor, type TensorMap, tensorOf, toNumbers } from '../../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../../core/random.ts';
import { loadBatch, type Samples } from '../../../data/datasets/samples.ts';
import type { MeasuredObjective } from '../../../diffusion/objective.ts';
import { type CompileOptions, compileTraining } from '../../../engine/compile/training.ts';
import { graphOf } from '../../../engine/graph/graph.ts';
import type { Backend, Session } from '../../../engine/runtime/session.ts';
import type { Denoiser } from '../../../networks/denoisers/denoiser.ts';
import { buildLoss, feedsOf } from '../step/loss-graph.ts';

/** The same for every run, so that losses of different seeds compare. */
const KEY = fold(randomKey(0), 'held-out loss');

export class HeldOutLoss {
  private readonly session: Session;
  private readonly samples: Samples;
  private readonly objective: MeasuredObjective;
  private readonly batchSize: number;

  private constructor(session: Session, samples: Samples, objective: MeasuredObjective, batchSize: number) {
    this.session = session;
    this.samples = samples;
    this.objective = objective;
    this.batchSize = batchSize;
  }

  static async compile(
    model: Denoiser,
    objective: MeasuredObjective,
    samples: Samples,
    batchSize: number,
    backend: Backend,
    options: CompileOptions = {},
  ): Promise<HeldOutLoss> {
    const { perSample } = buildLoss(model, objective, batchSize, { training: false });
    const session = await compileTraining(graphOf({ loss: perSample }), backend, options);
    return new HeldOutLoss(session, samples, objective, batchSize);
  }

  /**
   * Mean over all held-out pictures, each at one time of the even grid with its own noise.
   *
   * @param passes - how often each picture has its turn, with other noise at another time of a finer grid
   * @param signal - stops it between batches, with the signal's reason as error
   */
  async measure(weights: TensorMap, passes = 1, signal?: AbortSignal): Promise<number> {
    const { samples, batchSize } = this;
    const turns = samples.length * passes;
    // Consecutive pictures are of one class; a stride through the times lets every class meet the whole range.
    const times = toNumbers(this.objective.evaluationTimes(turns));
    const stride = coprimeNear(turns * 0.618, turns);
    let sum = 0;
    for (let start = 0; start < turns; start += batchSize) {
      await nextTick(); // or a running session blocks the signals of the process
      signal?.throwIfAborted();
      const count = Math.min(batchSize, turns - start);
      // A last batch that is not full repeats its pictures; the repetitions are not counted.
      const turn = Int32Array.from({ length: batchSize }, (_, i) => start + (i % count));
      const batch = await loadBatch(
        samples,
        turn.map((index) => index % samples.length),
        null,
      );
      const noise = noiseOf(turn, batch.x.data.length / batchSize);
      const t = tensorOf(
        this.objective.timeType,
        [batchSize],
        Array.from(turn, (index) => times[(index * stride) % turns]!),
      );
      const feeds = feedsOf({ batch, noise: hostTensor('f32', batch.x.shape, noise), t });
      const results = await this.session.run(new Map([...weights, ...feeds]));
      const losses = results.get('loss')!.data as Float32Array;
      for (let i = 0; i < count; i++) sum += losses[i]!;
    }
    return sum / turns;
  }

  release(): Promise<void> {
    return this.session.release();
  }
}

/** Each picture has noise of its own in each of its turns, however batches are cut. */
function noiseOf(turns: Int32Array, valuesPerImage: number): Float32Array {
  const noise = new Float32Array(turns.length * valuesPerImage);
  turns.forEach((index, i) => {
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
