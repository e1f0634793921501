import { expect, test } from 'vitest';
import { formatImageSize, parseImageSize } from './image-size.ts';

test.each([
  [32, { height: 32, width: 32 }, '32'],
  ['32', { height: 32, width: 32 }, '32'],
  ['48x32', { height: 48, width: 32 }, '48x32'],
  ['384x256', { height: 384, width: 256 }, '384x256'],
  ['64x64', { height: 64, width: 64 }, '64'],
] as const)('%s is height, then width', (text, size, written) => {
  expect(parseImageSize(text)).toEqual(size);
  expect(formatImageSize(size)).toBe(written);
});

test.each(['', 'x', '48x', 'x32', '48x32x3', '0x32', '-4', '3.5', '48 x 32', 'large', 0, 2.5, Number.NaN])(
  '%j is no size',
  (text) => {
    expect(() => parseImageSize(text)).toThrowError('is neither a side nor a height and a width');
  },
);

test('the error says where the size was given', () => {
  expect(() => parseImageSize('48by32', '--image-size')).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: --image-size: "48by32" is neither a side nor a height and a width
      fix: write 32 for a square, or height x width such as 48x32]
  `);
});
