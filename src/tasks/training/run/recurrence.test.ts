import { expect, test } from 'vitest';
import { Recurrence } from './recurrence.ts';

test('work is due after its interval, counted from its end, and after twenty times as long as it took', async () => {
  let now = 100;
  const work = new Recurrence(10, () => now);
  const isDueAt = (at: number) => {
    now = at;
    return work.isDue();
  };
  expect([isDueAt(109), isDueAt(110), work.isDue(1)]).toEqual([false, true, false]);
  const took = (seconds: number) =>
    work.do(async () => {
      now += seconds;
      return 'result';
    });
  expect(await took(0.25)).toBe('result');
  expect([isDueAt(120.24), isDueAt(120.25)]).toEqual([false, true]);
  await took(2);
  expect(work.seconds).toBe(2);
  expect([isDueAt(162), isDueAt(162.25)]).toEqual([false, true]);
});

test('work that fails is not done', async () => {
  let now = 0;
  const work = new Recurrence(10, () => now);
  now = 11;
  await expect(work.do(() => Promise.reject(new Error('full')))).rejects.toThrow('full');
  expect(work.isDue()).toBe(true);
});
