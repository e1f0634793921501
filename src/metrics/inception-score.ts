/** @file The Inception Score: how sure a classifier is of each picture, and how many classes all pictures have (Salimans et al. 2016). */
import { ShapeError } from '../core/errors.ts';
import { fold, permutation, type RandomKey } from '../core/random.ts';
import { type Spread, spreadOf } from './spread.ts';

// N pictures · K classes

export interface SplitOptions {
  /** Pictures per split; the last split has the rest. Default 5,000, as in ADM's evaluation suite. */
  readonly split?: number;
}

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
  { split = 5000 }: SplitOptions = {},
): number[] {
  return scoresInOrder(logits, classes, split, (position) => position);
}

/** The score in `shuffles` random orders: its mean, and the deviation that the order alone makes. */
export function shuffledInceptionScore(
  logits: ArrayLike<number>,
  classes: number,
  {
    split = 5000,
    shuffles = 10,
    key,
  }: SplitOptions & { readonly shuffles?: number; readonly key: RandomKey },
): Spread {
  return spreadOf(
    Array.from({ length: shuffles }, (_, shuffle) => {
      const order = permutation(fold(key, shuffle), logits.length / classes);
      return spreadOf(scoresInOrder(logits, classes, split, (position) => order[position]!)).mean;
    }),
  );
}

function scoresInOrder(
  logits: ArrayLike<number>,
  classes: number,
  split: number,
  pictureAt: (position: number) => number,
): number[] {
  const count = logits.length / classes;
  if (!Number.isInteger(count) || count < 1) {
    throw new ShapeError({
      where: 'inceptionScores',
      problem: `${logits.length} values are ${count} pictures of ${classes} classes`,
      fix: 'give the logits of whole pictures',
    });
  }
  const scores: number[] = [];
  for (let start = 0; start < count; start += split) {
    const end = Math.min(start + split, count);
    const marginal = new Float64Array(classes);
    let negativeEntropy = 0;
    for (let position = start; position < end; position++) {
      negativeEntropy += addProbabilities(logits, pictureAt(position) * classes, marginal);
    }
    const size = end - start;
    const ofMarginal = marginal.reduce((sum, total) => sum + xLogX(total / size), 0);
    scores.push(Math.exp(negativeEntropy / size - ofMarginal));
  }
  return scores;
}

/** Adds softmax(logits) of one picture to `marginal` and returns Σ p log p. */
function addProbabilities(logits: ArrayLike<number>, start: number, marginal: Float64Array): number {
  const classes = marginal.length;
  let largest = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < classes; c++) largest = Math.max(largest, logits[start + c]!);
  let total = 0;
  for (let c = 0; c < classes; c++) total += Math.exp(logits[start + c]! - largest);
  const logTotal = Math.log(total);
  let sum = 0;
  for (let c = 0; c < classes; c++) {
    const logP = logits[start + c]! - largest - logTotal;
    const p = Math.exp(logP);
    marginal[c]! += p;
    if (p > 0) sum += p * logP;
  }
  return sum;
}

const xLogX = (x: number): number => (x === 0 ? 0 : x * Math.log(x));
