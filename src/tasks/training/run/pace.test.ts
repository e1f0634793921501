import { expect, test } from 'vitest';
import { paceOf } from './pace.ts';

const report = (sessionSeconds: number) => ({ sessionSeconds, imagesPerSecond: 1 });

test('the pace is that of all steps but the first', () => {
  expect(paceOf([report(10), report(12), report(14), report(16)], 8)).toBe(4);
  expect(paceOf([report(10)], 8)).toBe(1);
  expect(paceOf([], 8)).toBe(0);
});
