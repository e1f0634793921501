import { expect, test } from 'vitest';
import { tensorOf } from '../../src/core/host-tensor.ts';
import { drawInProportion, drawOf, mosaics, rmsDistance, shown } from './measures.ts';

test('pictures in proportion to their classes', () => {
  // 10 · 1/6, 10 · 2/6, 10 · 3/6: the largest remainder gets the missing one.
  const { labels } = drawInProportion([10, 20, 30], 10);
  expect(labels).toEqual([0, 0, 1, 1, 1, 2, 2, 2, 2, 2]);
  expect(drawInProportion([1, 1, 1], 5).labels).toHaveLength(5);
});

test('a picture has its own number in every draw', () => {
  const [few, many] = [drawOf([1, 1]), drawOf([3, 2])];
  expect(few).toEqual({ labels: [0, 1], indices: [0, 1] });
  expect(many).toEqual({ labels: [0, 0, 0, 1, 1], indices: [0, 2, 4, 1, 3] });
});

test('the distance of pictures as they are shown', () => {
  const [a, b] = [
    [3, -0.5],
    [1, 0.5],
  ].map((values) => shown(tensorOf('f32', [1, 1, 1, 2], values)));
  expect(rmsDistance(a!, b!)).toBeCloseTo(Math.sqrt(1 / 2), 7);
});

test('mosaics are the mean colours of 8×8 tiles', () => {
  // Two pictures of three planes of 16×16; in the second, plane 1 has a 4 in the tile of row 2, column 5.
  const values = new Float32Array(2 * 3 * 256);
  values.fill(0.5, 0, 256);
  values[(3 + 1) * 256 + 5 * 16 + 10] = 4;
  const features = mosaics(tensorOf('f32', [2, 3, 16, 16], values));
  const expected = new Float64Array(2 * 192);
  expected.fill(0.5, 0, 64);
  expected[192 + 64 + 2 * 8 + 5] = 1;
  expect(features).toEqual(expected);
});
