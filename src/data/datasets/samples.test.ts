import { describe, expect, it } from 'vitest';
import { fold, type RandomKey, randomKey } from '../../core/random.ts';
import {
  checkReadBuffer,
  countPerClass,
  loadBatch,
  type Samples,
  subset,
  UnreadableSample,
} from './samples.ts';

/** One-pixel pictures whose value is their index, plus 100 times a word of the key they were read with. */
function numberedSamples(
  length: number,
  { asynchronous = false } = {},
): Samples & { keysRead: (RandomKey | null)[] } {
  const keysRead: (RandomKey | null)[] = [];
  return {
    name: 'numbers',
    classNames: ['even', 'odd'],
    shape: [2, 1, 1],
    space: { kind: 'pixels' },
    length,
    labels: Array.from({ length }, (_, i) => i % 2),
    sampleNames: Array.from({ length }, (_, i) => `number-${i}`),
    keysRead,
    read(index, key, out) {
      keysRead.push(key);
      const write = () => out.set([index, -index]);
      if (!asynchronous) return write();
      return (async () => {
        for (let turn = index; turn < 5; turn++) await new Promise(setImmediate);
        write();
      })();
    },
  };
}

describe('loadBatch', () => {
  it('puts pictures and labels in the order of the indices', async () => {
    const { x, y } = await loadBatch(numberedSamples(5), [3, 0, 4], null);
    expect(x.shape).toEqual([3, 2, 1, 1]);
    expect([...x.data]).toEqual([3, -3, 0, -0, 4, -4]);
    expect(y.shape).toEqual([3]);
    expect([...y.data]).toEqual([1n, 0n, 0n]);
  });

  it('waits for pictures that are read asynchronously, in whatever order they arrive', async () => {
    const { x } = await loadBatch(numberedSamples(5, { asynchronous: true }), [1, 4], null);
    expect([...x.data]).toEqual([1, -1, 4, -4]);
  });

  it('gives a picture the same key however batches are cut', async () => {
    const key = randomKey(7);
    const whole = numberedSamples(4);
    await loadBatch(whole, [0, 1, 2, 3], { key, nimg: 100 });
    const cut = numberedSamples(4);
    await loadBatch(cut, [0], { key, nimg: 100 });
    await loadBatch(cut, [1, 2, 3], { key, nimg: 101 });
    expect(cut.keysRead).toEqual(whole.keysRead);
    expect(whole.keysRead[2]).toEqual(fold(key, 102));
  });

  it('draws no augmentation for evaluation', async () => {
    const samples = numberedSamples(2);
    await loadBatch(samples, [0, 1], null);
    expect(samples.keysRead).toEqual([null, null]);
  });

  it('names an index that is not there', async () => {
    await expect(loadBatch(numberedSamples(3), [0, 3], null)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [DataError: DataError: numbers: there is no picture 3: the dataset has 3
        fix: use indices from 0 to 2]
    `);
  });
});

describe('subset', () => {
  it('renumbers pictures, labels and names', async () => {
    const odd = subset(numberedSamples(6), [5, 1], 'some');
    expect(odd.length).toBe(2);
    expect(odd.sampleNames).toEqual(['number-5', 'number-1']);
    expect([...(await loadBatch(odd, [1, 0], null)).x.data]).toEqual([1, -1, 5, -5]);
    expect(countPerClass(odd)).toEqual([0, 2]);
  });

  it('refuses indices outside the dataset', () => {
    expect(() => subset(numberedSamples(6), [6], 'some')).toThrowErrorMatchingInlineSnapshot(`
      [DataError: DataError: numbers: there is no picture 6: the dataset has 6
        fix: use indices from 0 to 5]
    `);
  });
});

describe('samples that cannot be read', () => {
  /** Samples of two classes by turns, of which these cannot be read. */
  const flawed = (length: number, unreadable: readonly number[]): Samples => {
    const all = numberedSamples(length);
    return {
      ...all,
      async read(index, key, out) {
        if (unreadable.includes(index)) throw new UnreadableSample({ where: 'x', problem: 'it is damaged' });
        await all.read(index, key, out);
      },
    };
  };
  const training = { key: randomKey(1), nimg: 0 };

  it('are replaced by the next of their class, and the batch says by which', async () => {
    for (const augmentation of [training, null]) {
      const batch = await loadBatch(flawed(8, [2, 4, 7]), [2, 7, 0], augmentation);
      expect([...batch.indices]).toEqual([6, 1, 0]);
      expect([...batch.x.data]).toEqual([6, -6, 1, -1, 0, -0]);
      expect([...batch.y.data]).toEqual([0n, 1n, 0n]);
    }
  });

  it('are replaced within their own part of a split', async () => {
    const all = flawed(8, [2]);
    const [seen, heldOut] = [subset(all, [0, 1, 2, 3], 'training'), subset(all, [4, 5, 6, 7], 'held out')];
    const batch = await loadBatch(seen, [2], training);
    expect(batch.x.data[0]).toBe(0);
    expect(heldOut.labels[0]).toBe(0); // the next of its class in the whole is held out
  });

  it('are replaced by another class in evaluation only', async () => {
    const alone = subset(flawed(8, [2]), [2, 3], 'some');
    const batch = await loadBatch(alone, [0], null);
    expect([...batch.x.data, ...batch.y.data]).toEqual([3, -3, 1n]);
    await expect(loadBatch(alone, [0], training)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [DataError: DataError: some: no picture of class even can be read
        number-2  it is damaged
        fix: mend these files, or put others into the folder of the class]
    `);
  });
});

it('checkReadBuffer refuses a buffer of another size', () => {
  expect(() => checkReadBuffer(numberedSamples(1), new Float32Array(3))).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: ShapeError: read from numbers: a picture has 2 values [2,1,1], the buffer 3]`,
  );
});
