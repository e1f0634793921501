/** @file The orders in which training visits a dataset: functions of key and position, so nothing is saved to resume. */
import { DataError } from '../../core/errors.ts';
import { fold, permutation, type RandomKey } from '../../core/random.ts';

/** An endless order of pictures that can be entered anywhere. */
export interface TrainingOrder {
  /**
   * Indices of the `count` pictures that follow the first `nimg` ones.
   *
   * @param nimg - number of training pictures seen so far
   */
  indicesAt(nimg: number, count: number): Int32Array;
}

/**
 * An endless order over `length` pictures in which every epoch visits each picture once, in its own permutation
 * `permutation(fold(key, 'epoch', e))`. The order depends on nothing but key, length and position.
 */
export class ShuffledOrder implements TrainingOrder {
  readonly #key: RandomKey;
  readonly #length: number;
  /** The permutation last used; positions move forwards, so one is enough. */
  #cached: { readonly epoch: number; readonly order: Int32Array } | undefined;

  constructor(key: RandomKey, length: number) {
    if (!Number.isInteger(length) || length < 1) {
      throw new DataError({
        where: 'ShuffledOrder',
        problem: `a dataset of ${length} pictures cannot be shuffled`,
      });
    }
    this.#key = key;
    this.#length = length;
  }

  indicesAt(nimg: number, count: number): Int32Array {
    return Int32Array.from({ length: count }, (_, i) => this.at(nimg + i));
  }

  /** Index of the picture at one position. */
  at(position: number): number {
    return this.#orderOf(Math.floor(position / this.#length))[position % this.#length]!;
  }

  #orderOf(epoch: number): Int32Array {
    if (this.#cached?.epoch !== epoch) {
      this.#cached = { epoch, order: permutation(fold(this.#key, 'epoch', epoch), this.#length) };
    }
    return this.#cached.order;
  }
}

/**
 * An endless order in which every class comes up equally often: of each `C` pictures in a row that begin at a multiple
 * of `C`, one is of each class, and the pictures of a class follow each other as a {@link ShuffledOrder} of their own.
 *
 * @param labels - the class of each picture; classes that no picture has take no part
 */
export class ClassBalancedOrder implements TrainingOrder {
  readonly #classes: ShuffledOrder;
  readonly #members: readonly { readonly indices: readonly number[]; readonly order: ShuffledOrder }[];

  constructor(key: RandomKey, labels: ArrayLike<number>) {
    const labelOf = Array.from(labels);
    const present = [...new Set(labelOf)].toSorted((a, b) => a - b);
    this.#members = present.map((label) => {
      const indices = [...labelOf.keys()].filter((index) => labelOf[index] === label);
      return { indices, order: new ShuffledOrder(fold(key, 'class', label), indices.length) };
    });
    this.#classes = new ShuffledOrder(fold(key, 'classes'), this.#members.length);
  }

  indicesAt(nimg: number, count: number): Int32Array {
    return Int32Array.from({ length: count }, (_, i) => {
      const position = nimg + i;
      const { indices, order } = this.#members[this.#classes.at(position)]!;
      return indices[order.at(Math.floor(position / this.#members.length))]!;
    });
  }
}
