import { describe, expect, test } from 'vitest';
import { type LearningRateSchedule, learningRateAt } from './schedules.ts';

describe('learning rate', () => {
  const constant: LearningRateSchedule = {
    kind: 'constant',
    learningRate: 0.01,
    warmupSteps: 4,
    totalSteps: 20,
  };
  const cosine: LearningRateSchedule = { ...constant, kind: 'cosine' };

  test('rises linearly to its peak, from the first step on', () => {
    for (const schedule of [constant, cosine]) {
      expect([1, 2, 3, 4].map((step) => learningRateAt(step, schedule))).toEqual([
        0.0025, 0.005, 0.0075, 0.01,
      ]);
    }
  });

  test('a constant one stays there', () => {
    expect([5, 20, 1e9].map((step) => learningRateAt(step, constant))).toEqual([0.01, 0.01, 0.01]);
    expect(learningRateAt(1, { ...constant, warmupSteps: 0 })).toBe(0.01);
  });

  test('a cosine passes half its peak halfway, ends at zero and stays there', () => {
    expect(learningRateAt(8, cosine)).toBeCloseTo(0.01 * Math.cos(Math.PI / 8) ** 2, 15);
    expect(learningRateAt(12, cosine)).toBeCloseTo(0.005, 15);
    expect(learningRateAt(20, cosine)).toBe(0);
    expect(learningRateAt(25, cosine)).toBe(0);
  });

  test('a warm-up as long as the training', () => {
    const all = { ...cosine, warmupSteps: 20 };
    expect(learningRateAt(20, all)).toBe(0.01);
    expect(learningRateAt(21, all)).toBe(0);
  });
});
