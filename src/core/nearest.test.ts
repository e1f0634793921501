import { expect, test } from 'vitest';
import { nearest, suggestion } from './nearest.ts';

test.each([
  ['eulr', 'euler'],
  ['DIT-s/2', 'DiT-S/2'],
  ['size', 'imageSize'],
  ['threds', 'threads'],
])('%s is like %s', (name, meant) => {
  expect(nearest(name, ['euler', 'DiT-S/2', 'imageSize', 'threads'])).toBe(meant);
});

test.each([['nosuch'], ['x'], ['']])('%j is like none', (name) => {
  expect(nearest(name, ['TAESD', 'evil.pt'])).toBeUndefined();
  expect(nearest(name, [])).toBeUndefined();
});

test('a suggestion, or all names', () => {
  expect(suggestion('stepz', ['steps', 'backend'])).toBe('did you mean steps?');
  expect(suggestion('nosuch', ['steps', 'backend'])).toBe('use one of steps, backend');
});
