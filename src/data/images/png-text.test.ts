import sharp from 'sharp';
import { expect, test } from 'vitest';
import { encodePng } from './png-node.ts';
import { pngText, withPngText } from './png-text.ts';

const PICTURE = { width: 2, height: 1, channels: 3, data: Uint8Array.of(1, 2, 3, 4, 5, 6) };

test('a text is read back, by other programs too, and changes no pixel', async () => {
  const png = withPngText(await encodePng(PICTURE), 'udit', '{"seed": 7}');
  expect(pngText(png, 'udit')).toBe('{"seed": 7}');
  expect((await sharp(png).metadata()).comments).toEqual([{ keyword: 'udit', text: '{"seed": 7}' }]);
  expect(new Uint8Array(await sharp(png, { failOn: 'warning' }).raw().toBuffer())).toEqual(PICTURE.data);
});

test('there is none in a file without one, under another keyword, or cut off', async () => {
  const png = await encodePng(PICTURE);
  expect(pngText(png, 'udit')).toBeUndefined();
  const noted = withPngText(png, 'udit', 'a');
  expect(pngText(noted, 'other')).toBeUndefined();
  expect(pngText(noted.subarray(0, 35), 'udit')).toBeUndefined();
  expect(pngText(new Uint8Array(0), 'udit')).toBeUndefined();
});
