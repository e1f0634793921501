import { expect, test } from 'vitest';
import { printable } from './printable.ts';

test('control characters are written out, all else stays', () => {
  expect(printable('\u001b[2Jgone\r\u0000\u009b1m')).toBe('\\x1b[2Jgone\\x0d\\x00\\x9b1m');
  expect(printable('søt 🦊\n  … "x"')).toBe('søt 🦊\n  … "x"');
});
