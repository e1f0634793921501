import { expect, test } from 'vitest';
import { BatchPlan, evenBatchSize } from './batch-plan.ts';

test('the last batch is filled up with its last image', () => {
  const plan = new BatchPlan(5, 3);
  expect(plan.batchCount).toBe(2);
  expect(plan.batches()).toEqual([
    { first: 0, count: 3, members: [0, 1, 2] },
    { first: 3, count: 2, members: [3, 4, 4] },
  ]);
});

test('parts have the batches of the whole, as many each or one fewer', () => {
  const plan = new BatchPlan(20, 3); // 7 batches
  const parts = [1, 2, 3].map((number) => plan.batchesOf({ number, parts: 3 }));
  expect(parts.flat()).toEqual(plan.batches());
  expect(parts.map(({ length }) => length)).toEqual([2, 2, 3]);
});

test('refuses more parts than batches', () => {
  expect(() => new BatchPlan(5, 3).batchesOf({ number: 1, parts: 3 })).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: --part: 5 images in batches of 3 are 2 batches, fewer than 3 parts
      fix: use fewer parts, or a smaller --batch-size]
  `);
});

test('images are spread evenly over the fewest batches', () => {
  expect([1, 8, 9, 17, 36].map((count) => evenBatchSize(count, 8))).toEqual([1, 8, 5, 6, 8]);
  expect(evenBatchSize(10, 4)).toBe(4);
  expect(evenBatchSize(10, 100)).toBe(10);
});
