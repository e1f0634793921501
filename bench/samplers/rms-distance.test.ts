import { expect, test } from 'vitest';
import { tensorOf } from '../../src/core/host-tensor.ts';
import { rmsDistance } from './rms-distance.ts';

test('the root of the mean square', () => {
  const [a, b] = [
    [1, -0.5],
    [1, 0.5],
  ].map((values) => tensorOf('f32', [1, 1, 1, 2], values));
  expect(rmsDistance(a!, b!)).toBeCloseTo(Math.sqrt(1 / 2), 7);
});
