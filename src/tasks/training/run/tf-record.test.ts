import { describe, expect, test } from 'vitest';
import { crc32c, frameRecord, maskedCrc32c } from './tf-record.ts';

const ascii = (text: string) => new TextEncoder().encode(text);

// RFC 3720, appendix B.4; the last line is the check value of the CRC catalogue.
describe.each([
  ['32 bytes of zeros', new Uint8Array(32), 0x8a9136aa],
  ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['32 incrementing bytes', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['32 decrementing bytes', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  ['the digits 1 to 9', ascii('123456789'), 0xe3069283],
])('crc32c of %s', (_, bytes, crc) => {
  test('has the published value', () => {
    expect(crc32c(bytes)).toBe(crc);
  });

  test('is masked by a rotation and an offset, which can be undone', () => {
    const rotated = (maskedCrc32c(bytes) - 0xa282ead8) >>> 0;
    expect(((rotated >>> 17) | (rotated << 15)) >>> 0).toBe(crc);
  });
});

test('a record is its length, content and both checksums', () => {
  const record = frameRecord(ascii('abc'));
  const view = new DataView(record.buffer);
  expect(record).toHaveLength(8 + 4 + 3 + 4);
  expect(view.getBigUint64(0, true)).toBe(3n);
  expect(view.getUint32(8, true)).toBe(maskedCrc32c(Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0)));
  expect(new TextDecoder().decode(record.subarray(12, 15))).toBe('abc');
  expect(view.getUint32(15, true)).toBe(maskedCrc32c(ascii('abc')));
});
