/** @file Damage to files, drawn from a key: what disks, networks and attackers do to bytes. */
import { fold, type RandomKey, uniform } from '../../src/core/random.ts';

/** Numbers of one key, one after another. */
export class Dice {
  private readonly draws: Float32Array;
  private next = 0;

  constructor(key: RandomKey) {
    this.draws = uniform(key, 512);
  }

  /** A whole number from 0 up to `limit`, which it does not reach. */
  below(limit: number): number {
    const draw = this.draws[this.next++ % this.draws.length]!;
    return Math.min(Math.floor(draw * limit), limit - 1);
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}

type Mutation = (bytes: Uint8Array, dice: Dice) => Uint8Array;

/** Numbers at the edges of what sizes and offsets can be. */
const EDGES = [
  0n,
  1n,
  7n,
  0x7fn,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0xffffffffn,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** Places are drawn in the whole file, or among its first or last bytes, where most of its structure is. */
function place(length: number, dice: Dice): number {
  const range = Math.min(length, dice.of([64, 512, length, length]));
  return dice.of([0, length - range]) + dice.below(range);
}

const flipBits: Mutation = (bytes, dice) => {
  const changed = bytes.slice();
  for (let count = 1 + dice.below(4); count > 0; count--)
    changed[place(bytes.length, dice)]! ^= 1 << dice.below(8);
  return changed;
};

const overwriteNumber: Mutation = (bytes, dice) => {
  const changed = bytes.slice();
  const number = new Uint8Array(BigUint64Array.of(dice.of([...EDGES, BigInt(bytes.length)])).buffer);
  const width = dice.of([1, 2, 4, 8]);
  const at = Math.max(0, Math.min(place(bytes.length, dice), bytes.length - width));
  changed.set(number.subarray(0, Math.min(width, bytes.length - at)), at);
  return changed;
};

const overwriteRange: Mutation = (bytes, dice) => {
  const changed = bytes.slice();
  const at = place(bytes.length, dice);
  changed.fill(dice.of([0, 0x28, 0x5d, 0xff, dice.below(256)]), at, at + 1 + dice.below(64));
  return changed;
};

const cut: Mutation = (bytes, dice) => bytes.slice(0, place(bytes.length, dice));

const remove: Mutation = (bytes, dice) => {
  const at = place(bytes.length, dice);
  return join(bytes.subarray(0, at), bytes.subarray(at + 1 + dice.below(32)));
};

const repeat: Mutation = (bytes, dice) => {
  const at = place(bytes.length, dice);
  return join(bytes.subarray(0, at), bytes.subarray(Math.max(0, at - 1 - dice.below(64))));
};

const move: Mutation = (bytes, dice) => {
  const changed = bytes.slice();
  const from = place(bytes.length, dice);
  changed.copyWithin(place(bytes.length, dice), from, from + 1 + dice.below(64));
  return changed;
};

const MUTATIONS: readonly Mutation[] = [
  flipBits,
  flipBits,
  overwriteNumber,
  overwriteNumber,
  overwriteRange,
  cut,
  remove,
  repeat,
  move,
];

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

/** The bytes with one to three mutations; case `number` of a key is always the same. */
export function mutated(bytes: Uint8Array, key: RandomKey, number: number): Uint8Array {
  const dice = new Dice(fold(key, 'mutation', number));
  let changed = bytes;
  for (let count = dice.of([1, 1, 1, 2, 3]); count > 0 && changed.length > 0; count--) {
    changed = dice.of(MUTATIONS)(changed, dice);
  }
  return changed;
}
