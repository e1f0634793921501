import { describe, expect, it } from 'vitest';
import { randomKey } from '../../core/random.ts';
import { ClassBalancedOrder, ShuffledOrder } from './shuffle.ts';

const LENGTH = 23;

describe('ShuffledOrder', () => {
  it('visits every picture once per epoch, in another order each time', () => {
    const order = new ShuffledOrder(randomKey(1), LENGTH);
    const epochs = [0, 1, 2].map((epoch) => [...order.indicesAt(epoch * LENGTH, LENGTH)]);
    const everyIndex = Array.from({ length: LENGTH }, (_, i) => i);
    for (const indices of epochs) expect(indices.toSorted((a, b) => a - b)).toEqual(everyIndex);
    expect(new Set(epochs.map(String)).size).toBe(3);
  });

  it('goes on from any position as if it had never stopped', () => {
    const whole = [...new ShuffledOrder(randomKey(2), LENGTH).indicesAt(0, 5 * LENGTH)];
    for (const start of [0, 1, 7, LENGTH - 1, LENGTH, 3 * LENGTH + 4]) {
      const resumed = new ShuffledOrder(randomKey(2), LENGTH);
      expect([...resumed.indicesAt(start, 40)]).toEqual(whole.slice(start, start + 40));
    }
  });

  it('gives the same answer when asked for an earlier position again', () => {
    const order = new ShuffledOrder(randomKey(3), LENGTH);
    const first = order.indicesAt(5, 10);
    order.indicesAt(4 * LENGTH, 10);
    expect(order.indicesAt(5, 10)).toEqual(first);
  });

  it('depends on the key', () => {
    const [a, b] = [1, 2].map((seed) => [...new ShuffledOrder(randomKey(seed), LENGTH).indicesAt(0, LENGTH)]);
    expect(a).not.toEqual(b);
  });

  it('refuses an empty dataset', () => {
    expect(() => new ShuffledOrder(randomKey(1), 0)).toThrowErrorMatchingInlineSnapshot(
      `[DataError: DataError: ShuffledOrder: a dataset of 0 pictures cannot be shuffled]`,
    );
  });
});

describe('ClassBalancedOrder', () => {
  /** Class 1 has no picture; class 2 has one. */
  const LABELS = [0, 3, 0, 2, 3, 0, 0, 3, 0];
  const CLASS_COUNT = 3;

  it('takes one picture of each class in turn, in another order each time', () => {
    const order = new ClassBalancedOrder(randomKey(1), LABELS);
    const rounds = Array.from({ length: 20 }, (_, round) =>
      [...order.indicesAt(round * CLASS_COUNT, CLASS_COUNT)].map((index) => LABELS[index]),
    );
    for (const labels of rounds) expect(labels.toSorted()).toEqual([0, 2, 3]);
    expect(new Set(rounds.map(String)).size).toBeGreaterThan(3);
  });

  it('visits every picture of a class before any of them again', () => {
    const order = new ClassBalancedOrder(randomKey(2), LABELS);
    const ofClass0 = [...order.indicesAt(0, 10 * CLASS_COUNT)].filter((index) => LABELS[index] === 0);
    for (const epoch of [ofClass0.slice(0, 5), ofClass0.slice(5)]) {
      expect(epoch.toSorted()).toEqual([0, 2, 5, 6, 8]);
    }
  });

  it('goes on from any position as if it had never stopped', () => {
    const whole = [...new ClassBalancedOrder(randomKey(3), LABELS).indicesAt(0, 60)];
    for (const start of [0, 1, 5, 31]) {
      expect([...new ClassBalancedOrder(randomKey(3), LABELS).indicesAt(start, 20)]).toEqual(
        whole.slice(start, start + 20),
      );
    }
  });
});
