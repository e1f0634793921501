/** @file The order in which training visits a dataset: a function of key and position, so nothing is saved to resume it. */
import { DataError } from '../core/errors.ts';
import { fold, permutation, type RandomKey } from '../core/random.ts';

/**
 * An endless order over `length` pictures in which every epoch visits each picture once, in its own permutation
 * `permutation(fold(key, 'epoch', e))`. The order depends on nothing but key, length and position.
 */
export class ShuffledOrder {
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

  /**
   * Indices of the `count` pictures that follow the first `nimg` ones; runs on into the next epochs.
   *
   * @param nimg - number of training pictures seen so far
   */
  indicesAt(nimg: number, count: number): Int32Array {
    const indices = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      const position = nimg + i;
      indices[i] = this.#orderOf(Math.floor(position / this.#length))[position % this.#length]!;
    }
    return indices;
  }

  #orderOf(epoch: number): Int32Array {
    if (this.#cached?.epoch !== epoch) {
      this.#cached = { epoch, order: permutation(fold(this.#key, 'epoch', epoch), this.#length) };
    }
    return this.#cached.order;
  }
}
