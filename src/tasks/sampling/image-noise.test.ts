import { expect, test } from 'vitest';
import { imageKey, imageNoise, slerp } from './image-noise.ts';

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

test('between two noises it lies on an arc: their length stays, and their angle is cut in proportion', () => {
  const [a, b] = [Float32Array.of(3, 0, 0), Float32Array.of(0, 3, 0)];
  for (const weight of [0.1, 0.25, 0.5, 0.9]) {
    const between = slerp(a, b, weight);
    expect(Math.hypot(...between)).toBeCloseTo(3, 6);
    expect(Math.atan2(between[1]!, between[0]!)).toBeCloseTo((weight * Math.PI) / 2, 6);
  }
  expect([...slerp(a, a, 0.3)]).toEqual([3, 0, 0]);
});

test('noise between two keys is standard normal, and at both ends theirs to the bit', () => {
  const [from, to] = [imageKey(0, 0), imageKey(1, 0)];
  const between = (weight: number) => imageNoise([{ from, to, weight }], [3, 64, 64], 'start');
  expect(between(0)).toEqual(imageNoise([from], [3, 64, 64], 'start'));
  expect(between(1)).toEqual(imageNoise([to], [3, 64, 64], 'start'));
  const { data } = between(0.5);
  const variance = data.reduce((sum, value) => sum + value ** 2, 0) / data.length;
  expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2 / data.length));
});
