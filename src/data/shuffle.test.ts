import { describe, expect, it } from 'vitest';
import { randomKey } from '../core/random.ts';
import { ShuffledOrder } from './shuffle.ts';

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
