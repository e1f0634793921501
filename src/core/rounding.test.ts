import { expect, test } from 'vitest';
import { roundHalfToEven } from './rounding.ts';

test('a half goes to the even neighbour, all else to the nearest', () => {
  const values = [-2.5, -1.5, -0.4, 0.5, 1.5, 2.5, 2.4999, 2.5001, 7];
  expect(values.map((value) => roundHalfToEven(value) + 0)).toEqual([-2, -2, 0, 0, 2, 2, 2, 3, 7]);
});
