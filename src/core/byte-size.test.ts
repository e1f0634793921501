import { expect, test } from 'vitest';
import { formatBytes, parseCount } from './byte-size.ts';

test.each([
  [0, '0 bytes'],
  [999, '999 bytes'],
  [1000, '1.00 kB'],
  [9_994, '9.99 kB'],
  [9_996, '10.0 kB'],
  [99_960, '100 kB'],
  [235_917_888, '236 MB'],
  [999_600, '1.00 MB'],
  [3_665_671_302, '3.67 GB'],
  [10_797_573_672, '10.8 GB'],
  [4e15, '4000 TB'],
])('%d is %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  ['0', 0],
  ['50k', 50_000],
  ['8Ki', 8192],
  ['2M', 2e6],
  ['4Gi', 2 ** 32],
  ['', Number.NaN],
  ['1.5M', Number.NaN],
  ['-1', Number.NaN],
  ['9007199254740992', Number.NaN],
])('%s counts %d', (text, count) => {
  expect(parseCount(text)).toBe(count);
});
