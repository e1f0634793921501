import { describe, expect, test } from 'vitest';
import { emaDecayAt, type LearningRateSchedule, learningRateAt } from './schedules.ts';

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

describe('decay of the average', () => {
  test('without warm-up it is what is configured', () => {
    expect(emaDecayAt(1, 0.9999, false)).toBe(0.9999);
  });

  test('with warm-up it follows (1 + step) / (10 + step) up to that', () => {
    expect(emaDecayAt(1, 0.9, true)).toBe(2 / 11);
    expect(emaDecayAt(8, 0.9, true)).toBe(0.5);
    expect(emaDecayAt(80, 0.9, true)).toBe(0.9);
    expect(emaDecayAt(81, 0.9, true)).toBe(0.9);
  });

  test('with warm-up no initial value is left over', () => {
    let weightOfInitial = 1;
    for (let step = 1; step <= 100; step++) weightOfInitial *= emaDecayAt(step, 0.9999, true);
    expect(weightOfInitial).toBeLessThan(1e-9);
  });
});
