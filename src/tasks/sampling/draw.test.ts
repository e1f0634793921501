import { expect, test } from 'vitest';
import { tensorOf } from '../../core/host-tensor.ts';
import { drawInProportion, drawOf, shown } from './draw.ts';

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

test('pictures are shown in black to white', () => {
  expect([...shown(tensorOf('f32', [1, 1, 1, 3], [3, -0.5, -2])).data]).toEqual([1, -0.5, -1]);
});
