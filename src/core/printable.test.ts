import { expect, test } from 'vitest';
import { printable, printableLine } from './printable.ts';

test('control characters are written out, all else stays', () => {
  expect(printable('\u001b[2Jgone\r\u0000\u009b1m')).toBe('\\x1b[2Jgone\\x0d\\x00\\x9b1m');
  expect(printable('søt 🦊\n  … "x"')).toBe('søt 🦊\n  … "x"');
});

test('marks that turn the order of a line around are written out, letters of all scripts stay', () => {
  expect(printable('cat\u202egnp.exe')).toBe('cat\\u202egnp.exe');
  expect(printable('\u2066日本\u2069 עברית')).toBe('\\u2066日本\\u2069 עברית');
});

test('a line stays a line', () => {
  expect(printableLine('bad\nname\u2028\u001b[31mX.png')).toBe('bad\\x0aname\\u2028\\x1b[31mX.png');
});
