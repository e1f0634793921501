import { expect, test } from 'vitest';
import { parseImageSize } from './image-size.ts';
import { perChannel, sizeInSpace, usualSpace } from './image-space.ts';

test('up to three channels are pixels, more are latents', () => {
  expect([1, 3, 4].map((channels) => usualSpace(channels).kind)).toEqual(['pixels', 'pixels', 'latents']);
});

test('pictures have as many pixels as their space has values, or its factor times as many', () => {
  const pixels = parseImageSize('384x256');
  expect(sizeInSpace(usualSpace(3), pixels)).toEqual(pixels);
  expect(sizeInSpace(usualSpace(4), pixels)).toEqual({ height: 48, width: 32 });
});

test('latents have whole sides', () => {
  expect(() => sizeInSpace(usualSpace(4), parseImageSize('384x260'))).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: --image-size: 384x260 is not a multiple of 8, the factor between pictures and latents
      fix: use 384x264]
  `);
});

test('one scale is that of every channel', () => {
  expect(perChannel(0.5, 3)).toEqual([0.5, 0.5, 0.5]);
  expect(perChannel([1, 2], 2)).toEqual([1, 2]);
});
