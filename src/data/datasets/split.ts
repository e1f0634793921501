/** @file The held-out split: which pictures training never sees. */
import { ConfigError } from '../../core/errors.ts';
import { fold, type RandomKey } from '../../core/random.ts';
import { type Samples, subset } from './samples.ts';

export interface Split {
  readonly training: Samples;
  readonly heldOut: Samples;
}

/** Fixed, unlike the seed of a run: all runs on a data set hold out the same pictures. */
const SPLIT_KEY: RandomKey = fold([0, 0], 'held-out');

const DEFAULT_HELD_OUT_FRACTION = 0.1;

/**
 * Splits a data set by the hash of each picture's name, so that a picture stays on its side when others are added or
 * the order changes. A class that would lose all its pictures keeps one for training.
 *
 * @param fraction - expected share of held-out pictures, in [0, 1)
 */
export function splitHeldOut(samples: Samples, fraction: number = DEFAULT_HELD_OUT_FRACTION): Split {
  if (!(fraction >= 0 && fraction < 1)) {
    throw new ConfigError({
      where: 'splitHeldOut',
      problem: `the held-out fraction is ${fraction}`,
      fix: 'use a number from 0 (nothing held out) to less than 1',
    });
  }
  const ranks = samples.sampleNames.map(rankOf);
  const keptForTraining = highestRankPerClass(samples, ranks);
  const training: number[] = [];
  const heldOut: number[] = [];
  ranks.forEach((rank, index) => {
    (rank < fraction && !keptForTraining.has(index) ? heldOut : training).push(index);
  });
  return {
    training: subset(samples, training, `${samples.name} (training)`),
    heldOut: subset(samples, heldOut, `${samples.name} (held out)`),
  };
}

/** A number in [0, 1) that depends on the name alone: its hash, mixed so that similar names land far apart. */
function rankOf(sampleName: string): number {
  return (fold(SPLIT_KEY, sampleName)[0] >>> 0) / 2 ** 32;
}

/** Per class the picture that would be held out last. */
function highestRankPerClass(samples: Samples, ranks: readonly number[]): ReadonlySet<number> {
  const best = new Map<number, number>();
  ranks.forEach((rank, index) => {
    const label = samples.labels[index]!;
    const current = best.get(label);
    if (current === undefined || rank > ranks[current]!) best.set(label, index);
  });
  return new Set(best.values());
}
