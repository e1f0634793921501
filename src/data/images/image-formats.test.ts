import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { expectDecodableSize, IMAGE_FORMATS } from './image-formats.ts';

it('the guide names the formats that are read', async () => {
  const guide = await readFile(
    new URL('../../../docs/guides/train-on-your-images.md', import.meta.url),
    'utf8',
  );
  const names = IMAGE_FORMATS.map(({ name }) => name);
  expect(guide).toContain(`files in ${names.slice(0, -1).join(', ')} or ${names.at(-1)}:`);
});

it('a picture has as many pixels as libvips takes', () => {
  expect(() => expectDecodableSize(0x3fff, 0x3fff)).not.toThrow();
  expect(() => expectDecodableSize(0x3fff, 0x4000)).toThrow('too large: 269 megapixels, at most 268');
  expect(() => expectDecodableSize(0, 5)).toThrow('its size is 0 x 5');
});
