import { expect, test } from 'vitest';
import { imageKey, imageNoise } from './image-noise.ts';

const SHAPE = [3, 8, 8];

test('the noise of an image depends on seed and number alone, not on its neighbours', () => {
  const alone = imageNoise([imageKey(5, 7)], SHAPE, 'start');
  const among = imageNoise([imageKey(5, 0), imageKey(5, 7), imageKey(5, 1)], SHAPE, 'start');
  expect(among.shape).toEqual([3, ...SHAPE]);
  expect(among.data.subarray(192, 384)).toEqual(alone.data);
});

test('other images, seeds and steps have other noise', () => {
  const firsts = [
    imageNoise([imageKey(0, 0)], SHAPE, 'start'),
    imageNoise([imageKey(0, 1)], SHAPE, 'start'),
    imageNoise([imageKey(1, 0)], SHAPE, 'start'),
    imageNoise([imageKey(0, 0)], SHAPE, 0),
    imageNoise([imageKey(0, 0)], SHAPE, 1),
  ].map(({ data }) => data[0]);
  expect(new Set(firsts).size).toBe(5);
});

test('it is standard normal', () => {
  const { data } = imageNoise([imageKey(0, 0), imageKey(0, 1)], [3, 64, 64], 'start');
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
  const variance = data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length;
  expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(data.length));
  expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2 / data.length));
});
