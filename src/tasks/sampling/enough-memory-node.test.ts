import { expect, test } from 'vitest';
import { heapLimit, memoryLimit } from '../../host/machine/memory-node.ts';
import { expectBatchFits, expectImagesFit } from './enough-memory-node.ts';

test('as many images as people draw', () => {
  expectImagesFit('--count', 50_000, 2 * 3 * 32 ** 2);
});

test('more images than can be listed, or kept', () => {
  expect(() => expectImagesFit('--count', Math.ceil(heapLimit() / 100))).toThrow(
    /^ConfigError: --count: .* images/,
  );
  expect(() => expectImagesFit('--count', 1000, memoryLimit() / 1000)).toThrow('which suffices for 9');
});

test('a batch that does not fit, and the largest that does', () => {
  const bytesFor = (images: number) => 1e8 + images * 1e7;
  expectBatchFits(90, bytesFor, 1e9);
  expect(() => expectBatchFits(91, bytesFor, 1e9)).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: --batch-size: a batch of 91 images needs up to 1.01 GB of memory, there are 1.00 GB
      fix: use --batch-size 90 or less]
  `);
});

test('a batch of one is tried, since what a worker takes is an upper bound', () => {
  expectBatchFits(1, () => 2e9, 1e9);
});
