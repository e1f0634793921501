/** @file The loop of a training, which every rank runs: batches, steps, and the moments at which others listen. */
import { setImmediate as nextTick } from 'node:timers/promises';
import { fold, type RandomKey, randomKey } from '../../../core/random.ts';
import { BatchLoader } from '../../../data/datasets/batch-loader.ts';
import type { Samples } from '../../../data/datasets/samples.ts';
import { ClassBalancedOrder, ShuffledOrder, type TrainingOrder } from '../../../data/datasets/shuffle.ts';
import type { RunConfig } from '../config/train-config.ts';
import type { Learning } from '../step/learning.ts';
import type { StepResult, TrainStep } from '../step/train-step.ts';
import { expectFiniteStep, type RunDecisions } from './decisions.ts';

/** Progress as of one step. */
export interface StepReport extends StepResult {
  readonly step: number;
  /** Training time of this session so far, without what was measured and drawn before it. */
  readonly sessionSeconds: number;
  /** Since this session of the run began, without evaluation and sampling. */
  readonly imagesPerSecond: number;
}

/** Listens to the loop; the next step waits for it. */
export interface LoopListener {
  /** Before the first step, in a session that makes any. */
  onBegin?(step: number): Promise<void>;
  onStep?(report: StepReport): void | Promise<void>;
  /** After the last step of a session, which may be that before it. */
  onEnd?(step: number): Promise<void>;
}

export interface LoopParts {
  readonly config: RunConfig;
  readonly training: Samples;
  readonly learning: Pick<Learning, 'feedsOf'>;
  readonly trainStep: Pick<TrainStep, 'run'>;
  /** Steps made by earlier sessions. */
  readonly step: number;
  readonly decisions: RunDecisions;
  /** For the error of a step that is not finite. */
  readonly lastCheckpoint: () => string | undefined;
}

export class TrainingLoop {
  private readonly parts: LoopParts;
  private readonly key: RandomKey;
  private readonly batches: BatchLoader;
  private readonly timer = new StepTimer();
  private step: number;

  constructor(parts: LoopParts) {
    const { config, training, step } = parts;
    this.parts = parts;
    this.step = step;
    this.key = randomKey(config.training.seed);
    const { batchSize } = config.training;
    const order = trainingOrder(fold(this.key, 'order'), training, config);
    this.batches = new BatchLoader(order, training, { batchSize, key: fold(this.key, 'augment') });
  }

  /**
   * Makes steps until the run is finished or a limit is reached.
   *
   * @param listeners - hear of each moment in their order
   * @returns the steps of the run so far
   */
  async run(listeners: readonly LoopListener[]): Promise<number> {
    const { decisions } = this.parts;
    if (!decisions.isOver(this.step)) for (const one of listeners) await one.onBegin?.(this.step);
    decisions.startClock();
    try {
      while (decisions.goesOn(this.step)) {
        const report = await this.makeStep();
        for (const one of listeners) await one.onStep?.(report);
        // Between steps, signals and timers of the process get their turn: a running session blocks them.
        await nextTick();
      }
    } finally {
      await this.batches.close();
    }
    for (const one of listeners) await one.onEnd?.(this.step);
    return this.step;
  }

  private async makeStep(): Promise<StepReport> {
    const { config, training, learning, trainStep, decisions, lastCheckpoint } = this.parts;
    const { batchSize } = config.training;
    this.timer.start();
    const batch = await this.batches.at(this.step * batchSize);
    const step = this.step + 1;
    const result = await trainStep.run(step, learning.feedsOf(this.key, step, batch));
    const pictures = Array.from(batch.indices, (index) => training.sampleNames[index]!);
    expectFiniteStep(step, result, pictures, lastCheckpoint());
    this.step = step;
    this.timer.stop(batchSize);
    const { imagesPerSecond } = this.timer;
    return { ...result, step, sessionSeconds: decisions.elapsedMs / 1000, imagesPerSecond };
  }
}

function trainingOrder(key: RandomKey, { labels, length }: Samples, { data }: RunConfig): TrainingOrder {
  return data.balanceClasses ? new ClassBalancedOrder(key, labels) : new ShuffledOrder(key, length);
}

/** Time spent in steps, over a sliding window: the first steps of a session are slower than the rest. */
class StepTimer {
  private readonly window: { readonly elapsedMs: number; readonly images: number }[] = [];
  private startedMs = 0;

  start(): void {
    this.startedMs = performance.now();
  }

  stop(images: number): void {
    this.window.push({ elapsedMs: performance.now() - this.startedMs, images });
    if (this.window.length > 20) this.window.shift();
  }

  get imagesPerSecond(): number {
    const elapsedMs = this.window.reduce((sum, entry) => sum + entry.elapsedMs, 0);
    const images = this.window.reduce((sum, entry) => sum + entry.images, 0);
    return (1000 * images) / elapsedMs;
  }
}
