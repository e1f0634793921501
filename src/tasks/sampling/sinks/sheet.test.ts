import { expect, test } from 'vitest';
import { tensorOf } from '../../../core/host-tensor.ts';
import { evenlySpread, PreviewSheet, Sheet } from './sheet.ts';

/** Grey pictures of one pixel. */
const pictures = (...bytes: readonly number[]) => tensorOf('u8', [bytes.length, 1, 1, 1], bytes);

test('a sheet is filled in any order, and blank where nothing was put', () => {
  const sheet = new Sheet(2, 2);
  expect(sheet.images).toBeUndefined();
  sheet.place(1, 0, pictures(5, 6), 1);
  sheet.place(0, 1, pictures(7), 0);
  expect([...sheet.images!.data]).toEqual([0, 7, 6, 0]);
  expect(sheet.images!.shape).toEqual([4, 1, 1, 1]);
});

test('what lies beyond the sheet is left out', () => {
  const sheet = new Sheet(2, 3);
  sheet.place(2, 0, pictures(1), 0);
  sheet.place(0, 3, pictures(1), 0);
  expect(sheet.images).toBeUndefined();
});

test('previews are of evenly spread steps with both ends', () => {
  expect(evenlySpread(1)).toEqual([1]);
  expect(evenlySpread(4)).toEqual([1, 2, 3, 4]);
  expect(evenlySpread(25)).toEqual([1, 3, 5, 8, 10, 12, 14, 16, 18, 21, 23, 25]);
});

test('previews have a row for the first image of each class and a column per step', async () => {
  const sheet = new PreviewSheet(2, 2, (position) => (position % 3 === 0 ? position / 3 : undefined));
  // Images 0, 1, 2 are of one class and 3, 4, 5 of the other, drawn in batches of four.
  const at = (step: number, first: number, bytes: readonly number[]) => {
    const values = bytes.map((byte) => (byte - 128) / 127.5);
    sheet.add({
      step,
      steps: 2,
      share: step / 2,
      nfe: step,
      first,
      x0: tensorOf('f32', [bytes.length, 1, 1, 1], values),
    });
  };
  at(1, 0, [10, 11, 12, 13]);
  at(2, 0, [20, 21, 22, 23]);
  at(1, 4, [14, 15]);
  at(2, 4, [24, 25]);
  await sheet.show();
  expect([...sheet.images!.data]).toEqual([10, 20, 13, 23]);
});
