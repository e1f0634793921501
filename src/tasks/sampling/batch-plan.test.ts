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

test('what is there already is skipped, and the rest is cut as before', () => {
  const plan = new BatchPlan(8, 3);
  expect(plan.batches(3)).toEqual(plan.batches().slice(1));
  expect(plan.batches(8)).toEqual([]);
});

test('images are spread evenly over the fewest batches', () => {
  expect([1, 8, 9, 17, 36].map((count) => evenBatchSize(count, 8))).toEqual([1, 8, 5, 6, 8]);
  expect(evenBatchSize(10, 4)).toBe(4);
  expect(evenBatchSize(10, 100)).toBe(10);
});
