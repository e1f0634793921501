/** @file The loss on pictures that training never sees, with fixed randomness: comparable over a run. */
import { setImmediate as nextTick } from 'node:timers/promises';
import type { TensorMap } from '../../../core/host-tensor.ts';
import { loadBatch, type Samples } from '../../../data/datasets/samples.ts';
import { type CompileOptions, compileTraining } from '../../../engine/compile/training.ts';
import { graphOf } from '../../../engine/graph/graph.ts';
import type { Backend, Session } from '../../../engine/runtime/session.ts';
import { type Measuring, tensorsOf } from '../step/learning.ts';

export class HeldOutLoss {
  private readonly session: Session;
  private readonly samples: Samples;
  private readonly measuring: Measuring;
  private readonly batchSize: number;

  private constructor(session: Session, samples: Samples, measuring: Measuring, batchSize: number) {
    this.session = session;
    this.samples = samples;
    this.measuring = measuring;
    this.batchSize = batchSize;
  }

  static async compile(
    measuring: Measuring,
    samples: Samples,
    batchSize: number,
    backend: Backend,
    options: CompileOptions = {},
  ): Promise<HeldOutLoss> {
    const { perSample } = measuring.buildLoss(batchSize, { training: false });
    const session = await compileTraining(graphOf({ loss: perSample }), backend, options);
    return new HeldOutLoss(session, samples, measuring, batchSize);
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
    const feedsOf = this.measuring.measurement(turns);
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
      const results = await this.session.run(new Map([...weights, ...tensorsOf(feedsOf(turn, batch))]));
      const losses = results.get('loss')!.data as Float32Array;
      for (let i = 0; i < count; i++) sum += losses[i]!;
    }
    return sum / turns;
  }

  release(): Promise<void> {
    return this.session.release();
  }
}
