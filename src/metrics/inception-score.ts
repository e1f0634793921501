/** @file The Inception Score: how sure a classifier is of each picture, and how many classes all pictures have (Salimans et al. 2016). */
import { ShapeError } from '../core/errors.ts';
import { expectOptions, type OptionTable } from '../core/options.ts';
import { fold, permutation, type RandomKey, randomKey } from '../core/random.ts';
import { type Spread, spreadOf } from './spread.ts';

// N pictures · K classes

export interface SplitOptions {
  /** Pictures per split; the last split has the rest. Default 5,000, as in ADM's evaluation suite. */
  readonly split?: number;
}

const SPLIT_OPTIONS: OptionTable<SplitOptions> = {
  split: 'optional',
};

export interface ShuffleOptions extends SplitOptions {
  /** Random orders. Default 10. */
  readonly shuffles?: number;
  /** Chooses them; without random orders none is needed. */
  readonly key?: RandomKey;
}

const SHUFFLE_OPTIONS: OptionTable<ShuffleOptions> = {
  ...SPLIT_OPTIONS,
  shuffles: 'optional',
  key: 'optional',
};

/**
 * exp of the mean KL divergence of each picture's classes from those of its split, for each split in the order of the
 * pictures. The score is the mean over splits. It assumes a random order: sorted by class, every split has few classes, and
 * the score is a fraction of what it should be.
 *
 *     inceptionScores([5, 0, 0, 5], 2)[0]; // of two pictures of different classes: near 2
 *
 * @param logits - [N, K] row by row
 * @throws ShapeError if the last picture is not whole
 */
export function inceptionScores(
  logits: ArrayLike<number>,
  classes: number,
  options: SplitOptions = {},
): number[] {
  expectOptions(options, 'inceptionScores', SPLIT_OPTIONS);
  return new ClassSums(logits.length / classes, classes, { ...options, shuffles: 0 }).add(logits).scores();
}

/** The score in `shuffles` random orders: its mean, and the deviation that the order alone makes. */
export function shuffledInceptionScore(
  logits: ArrayLike<number>,
  classes: number,
  options: ShuffleOptions,
): Spread {
  expectOptions(options, 'shuffledInceptionScore', SHUFFLE_OPTIONS);
  return new ClassSums(logits.length / classes, classes, options).add(logits).shuffled();
}

/** What a split is scored by. */
interface SplitSums {
  readonly size: number;
  readonly marginal: Float64Array;
  negativeEntropy: number;
}

/**
 * Both scores of pictures that come batch by batch: sums of each split are kept, and no logits.
 *
 *     const sums = new ClassSums(2, 2, { shuffles: 0 });
 *     sums.add([5, 0]).add([0, 5]).scores();
 */
export class ClassSums {
  private readonly classes: number;
  private readonly count: number;
  private added = 0;
  /** Of each order, the first of which is that of the pictures: the split of each picture, and the sums of each split. */
  private readonly orders: readonly { readonly splitOf: Int32Array; readonly splits: readonly SplitSums[] }[];
  private readonly probabilities: Float64Array;

  /**
   * @param count - of all pictures
   * @throws ShapeError if it is no whole number
   */
  constructor(
    count: number,
    classes: number,
    { split = 5000, shuffles = 10, key = randomKey(0) }: ShuffleOptions,
  ) {
    if (!Number.isInteger(count) || count < 1) {
      throw new ShapeError({
        where: 'inceptionScores',
        problem: `${count * classes} values are ${count} pictures of ${classes} classes`,
        fix: 'give the logits of whole pictures',
      });
    }
    this.classes = classes;
    this.count = count;
    this.probabilities = new Float64Array(classes);
    const inOrder = Int32Array.from({ length: count }, (_, position) => Math.floor(position / split));
    const shuffled = Array.from({ length: shuffles }, (_, shuffle) => {
      const splitOf = new Int32Array(count);
      for (const [position, picture] of permutation(fold(key, shuffle), count).entries())
        splitOf[picture] = inOrder[position]!;
      return splitOf;
    });
    const emptySplits = () =>
      Array.from({ length: Math.ceil(count / split) }, (_, at) => ({
        size: Math.min(split, count - at * split),
        marginal: new Float64Array(classes),
        negativeEntropy: 0,
      }));
    this.orders = [inOrder, ...shuffled].map((splitOf) => ({ splitOf, splits: emptySplits() }));
  }

  /** @param logits - [n, K] row by row, of the next pictures */
  add(logits: ArrayLike<number>): this {
    const { classes, probabilities } = this;
    for (let start = 0; start < logits.length; start += classes) {
      const negativeEntropy = softmax(logits, start, probabilities);
      for (const { splitOf, splits } of this.orders) {
        const sums = splits[splitOf[this.added]!]!;
        sums.negativeEntropy += negativeEntropy;
        for (let c = 0; c < classes; c++) sums.marginal[c]! += probabilities[c]!;
      }
      this.added++;
    }
    return this;
  }

  /** Of each split in the order of the pictures. @throws ShapeError before all pictures are there */
  scores(): number[] {
    return this.scoresOf(0);
  }

  /** Over the random orders. @throws ShapeError before all pictures are there */
  shuffled(): Spread {
    return spreadOf(this.orders.slice(1).map((_, shuffle) => spreadOf(this.scoresOf(1 + shuffle)).mean));
  }

  private scoresOf(order: number): number[] {
    if (this.added !== this.count) {
      throw new ShapeError({
        where: 'ClassSums',
        problem: `${this.added} of ${this.count} pictures were added`,
        fix: 'add all of them first',
      });
    }
    return this.orders[order]!.splits.map(({ size, marginal, negativeEntropy }) => {
      const ofMarginal = marginal.reduce((sum, total) => sum + xLogX(total / size), 0);
      return Math.exp(negativeEntropy / size - ofMarginal);
    });
  }
}

/** Writes softmax(logits) of one picture and returns Σ p log p. */
function softmax(logits: ArrayLike<number>, start: number, probabilities: Float64Array): number {
  const classes = probabilities.length;
  let largest = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < classes; c++) largest = Math.max(largest, logits[start + c]!);
  let total = 0;
  for (let c = 0; c < classes; c++) total += Math.exp(logits[start + c]! - largest);
  const logTotal = Math.log(total);
  let sum = 0;
  for (let c = 0; c < classes; c++) {
    const logP = logits[start + c]! - largest - logTotal;
    const p = Math.exp(logP);
    probabilities[c] = p;
    if (p > 0) sum += p * logP;
  }
  return sum;
}

const xLogX = (x: number): number => (x === 0 ? 0 : x * Math.log(x));
