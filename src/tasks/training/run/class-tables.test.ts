import { expect, test } from 'vitest';
import { tensorOf } from '../../../core/host-tensor.ts';
import { sourceOf } from '../../../core/tensor-source.ts';
import { withAveragedClasses } from './class-tables.ts';

const table = tensorOf('f32', [3, 2], [1, 2, 3, 6, 10, 20]);
const weights = sourceOf(
  new Map([
    ['table', table],
    ['other', tensorOf('f32', [1], [7])],
  ]),
);

test('classes begin with the average of all, the hidden class with its own row', async () => {
  const resized = withAveragedClasses(weights, [{ name: 'table', shape: [4, 2] }], {
    inFile: 2,
    inNetwork: 3,
  });
  expect(await resized.read('table')).toEqual(tensorOf('f32', [4, 2], [2, 4, 2, 4, 2, 4, 10, 20]));
  expect(resized.infos.get('table')).toEqual({ dtype: 'f32', shape: [4, 2] });
  expect(await resized.read('other')).toEqual(tensorOf('f32', [1], [7]));
});

test('without a hidden class in the file, it begins with the average too', async () => {
  const resized = withAveragedClasses(weights, [{ name: 'table', shape: [2, 2] }], {
    inFile: 3,
    inNetwork: 1,
  });
  const [a, b] = [14 / 3, 28 / 3].map(Math.fround) as [number, number];
  expect(await resized.read('table')).toEqual(tensorOf('f32', [2, 2], [a, b, a, b]));
});
