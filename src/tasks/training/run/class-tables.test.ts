import { describe, expect, test } from 'vitest';
import { tensorOf } from '../../../core/host-tensor.ts';
import { sourceOf } from '../../../core/tensor-source.ts';
import { rowsOfClasses, withClassRows } from './class-tables.ts';

const table = tensorOf('f32', [3, 2], [1, 2, 3, 6, 10, 20]);
const weights = sourceOf(
  new Map([
    ['table', table],
    ['other', tensorOf('f32', [1], [7])],
  ]),
);
const NONE = [undefined, undefined, undefined];
const NO_ROW = undefined;

test('classes begin with their row or the average of all, the hidden class with its own row', async () => {
  const resized = withClassRows(weights, [{ name: 'table', shape: [4, 2] }], {
    inFile: 2,
    rows: [1, NO_ROW, 0],
  });
  expect(await resized.read('table')).toEqual(tensorOf('f32', [4, 2], [3, 6, 2, 4, 1, 2, 10, 20]));
  expect(resized.infos.get('table')).toEqual({ dtype: 'f32', shape: [4, 2] });
  expect(await resized.read('other')).toEqual(tensorOf('f32', [1], [7]));
});

test('without a hidden class in the file, it begins with the average too', async () => {
  const resized = withClassRows(weights, [{ name: 'table', shape: [2, 2] }], { inFile: 3, rows: [NO_ROW] });
  const [a, b] = [14 / 3, 28 / 3].map(Math.fround) as [number, number];
  expect(await resized.read('table')).toEqual(tensorOf('f32', [2, 2], [a, b, a, b]));
});

describe('rows of classes', () => {
  const classes = (...names: readonly string[]) => ({ count: names.length, names });
  test.each([
    ['the same', classes('a', 'b'), classes('a', 'b'), 'average', undefined],
    ['in another order', classes('b', 'a'), classes('a', 'b'), 'new', [1, 0]],
    ['some of them', classes('c', 'a'), classes('a', 'b', 'c'), 'new', [2, 0]],
    ['one more', classes('b', 'a', 'z'), classes('a', 'b'), 'new', undefined],
    ['one more, with averages', classes('b', 'a', 'z'), classes('a', 'b'), 'average', [1, 0, NO_ROW]],
    ['others, as many', classes('y', 'z'), classes('a', 'b'), 'average', undefined],
    ['others of a file without names', classes('x', 'y', 'z'), { count: 5, names: [] }, 'average', NONE],
    ['more than names', { count: 3, names: ['b', 'a'] }, classes('a', 'b'), 'average', [1, 0, NO_ROW]],
    ['none', classes(), classes(), 'average', undefined],
  ] as const)('%s', (_, ofNetwork, ofFile, start, expected) => {
    expect(rowsOfClasses(ofNetwork, ofFile, start)).toEqual(expected);
  });
});
