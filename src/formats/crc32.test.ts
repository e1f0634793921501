import { crc32 as referenceCrc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { crc32 } from './crc32.ts';

const BYTES = Uint8Array.from({ length: 300 }, (_, i) => (i * 2654435761) >>> 13);

test('the known value of its own definition', () => {
  expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
});

test('agrees with zlib at every length and offset around the sixteen bytes of a step', () => {
  for (let begin = 0; begin < 20; begin++) {
    for (let end = begin; end < 120; end++) {
      const part = BYTES.subarray(begin, end);
      expect(crc32(part)).toBe(referenceCrc32(part));
    }
  }
});

test('goes on from what comes before', () => {
  for (const cut of [0, 1, 16, 17, 299, 300]) {
    expect(crc32(BYTES.subarray(cut), crc32(BYTES.subarray(0, cut)))).toBe(referenceCrc32(BYTES));
  }
});
