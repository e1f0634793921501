import { expect, test } from 'vitest';
import { tensorOf } from '../../../core/host-tensor.ts';
import { ParameterLayout } from './parameter-buffers.ts';

const layout = new ParameterLayout([
  { name: 'weight', shape: [2, 3] },
  { name: 'scale', shape: [] },
  { name: 'bias', shape: [2] },
]);

test('parameters lie one after another in the order they are given', () => {
  const buffer = Float32Array.from({ length: layout.size }, (_, i) => i);
  const views = layout.views(buffer);
  expect(layout.size).toBe(9);
  expect([...views].map(([name, { shape, data }]) => [name, shape, [...data]])).toEqual([
    ['weight', [2, 3], [0, 1, 2, 3, 4, 5]],
    ['scale', [], [6]],
    ['bias', [2], [7, 8]],
  ]);
});

test('views share memory with the buffer, under the names that are asked for', () => {
  const buffer = new Float32Array(layout.size);
  const views = layout.views(buffer, (name) => `ema.${name}`);
  views.get('ema.bias')!.data[1] = 5;
  expect(buffer[8]).toBe(5);
  expect(views.has('bias')).toBe(false);
});

test('filling copies by name, whatever the order', () => {
  const buffer = new Float32Array(layout.size);
  const values = new Map([
    ['bias', tensorOf('f32', [2], [8, 9])],
    ['other', tensorOf('f32', [1], [-1])],
    ['scale', tensorOf('f32', [], [7])],
    ['weight', tensorOf('f32', [2, 3], [1, 2, 3, 4, 5, 6])],
  ]);
  layout.fill(buffer, values);
  expect([...buffer]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
});
