import { describe, expect, it } from 'vitest';
import { fold, type RandomKey, randomKey } from '../../core/random.ts';
import { checkReadBuffer, countPerClass, type Dataset, loadBatch, subset } from './dataset.ts';

/** One-pixel pictures whose value is their index, plus 100 times a word of the key they were read with. */
function numberedDataset(
  length: number,
  { asynchronous = false } = {},
): Dataset & { keysRead: (RandomKey | null)[] } {
  const keysRead: (RandomKey | null)[] = [];
  return {
    name: 'numbers',
    classNames: ['even', 'odd'],
    imageSize: 1,
    channels: 2,
    length,
    labels: Array.from({ length }, (_, i) => i % 2),
    sampleNames: Array.from({ length }, (_, i) => `number-${i}`),
    keysRead,
    read(index, key, out) {
      keysRead.push(key);
      const write = () => out.set([index, -index]);
      if (!asynchronous) return write();
      return new Promise((resolve) => setTimeout(() => resolve(write()), 5 - index));
    },
  };
}

describe('loadBatch', () => {
  it('puts pictures and labels in the order of the indices', async () => {
    const { x, y } = await loadBatch(numberedDataset(5), [3, 0, 4], null);
    expect(x.shape).toEqual([3, 2, 1, 1]);
    expect([...x.data]).toEqual([3, -3, 0, -0, 4, -4]);
    expect(y.shape).toEqual([3]);
    expect([...y.data]).toEqual([1n, 0n, 0n]);
  });

  it('waits for pictures that are read asynchronously, in whatever order they arrive', async () => {
    const { x } = await loadBatch(numberedDataset(5, { asynchronous: true }), [1, 4], null);
    expect([...x.data]).toEqual([1, -1, 4, -4]);
  });

  it('gives a picture the same key however batches are cut', async () => {
    const key = randomKey(7);
    const whole = numberedDataset(4);
    await loadBatch(whole, [0, 1, 2, 3], { key, nimg: 100 });
    const cut = numberedDataset(4);
    await loadBatch(cut, [0], { key, nimg: 100 });
    await loadBatch(cut, [1, 2, 3], { key, nimg: 101 });
    expect(cut.keysRead).toEqual(whole.keysRead);
    expect(whole.keysRead[2]).toEqual(fold(key, 102));
  });

  it('draws no augmentation for evaluation', async () => {
    const dataset = numberedDataset(2);
    await loadBatch(dataset, [0, 1], null);
    expect(dataset.keysRead).toEqual([null, null]);
  });

  it('names an index that is not there', async () => {
    await expect(loadBatch(numberedDataset(3), [0, 3], null)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [DataError: DataError: numbers: there is no picture 3: the dataset has 3
        fix: use indices from 0 to 2]
    `);
  });
});

describe('subset', () => {
  it('renumbers pictures, labels and names', async () => {
    const odd = subset(numberedDataset(6), [5, 1], 'some');
    expect(odd.length).toBe(2);
    expect(odd.sampleNames).toEqual(['number-5', 'number-1']);
    expect([...(await loadBatch(odd, [1, 0], null)).x.data]).toEqual([1, -1, 5, -5]);
    expect(countPerClass(odd)).toEqual([0, 2]);
  });

  it('refuses indices outside the dataset', () => {
    expect(() => subset(numberedDataset(6), [6], 'some')).toThrowErrorMatchingInlineSnapshot(`
      [DataError: DataError: numbers: there is no picture 6: the dataset has 6
        fix: use indices from 0 to 5]
    `);
  });
});

it('checkReadBuffer refuses a buffer of another size', () => {
  expect(() => checkReadBuffer(numberedDataset(1), new Float32Array(3))).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: ShapeError: read from numbers: a picture has 2 values [2,1,1], the buffer 3]`,
  );
});
