import { expect, test } from 'vitest';
import { listAmong, listOf, numberIn, partOfAll, positiveNumber, twoNumbers, wholeNumber } from './flags.ts';

test('whole numbers, also with units', () => {
  const parse = wholeNumber({ from: 1 });
  expect(['1', '250', '50k', '8Ki', '2M', '1Mi', '3G', '1Gi'].map(parse)).toEqual([
    1, 250, 50_000, 8192, 2_000_000, 1_048_576, 3_000_000_000, 1_073_741_824,
  ]);
});

test.each(['', '0', '-1', '1.5', '1e3', 'ten', '5K', '9007199254740993'])(
  'not a whole number from 1: %j',
  (text) => {
    expect(() => wholeNumber({ from: 1 })(text)).toThrow(
      'A whole number from 1 is needed, such as 5 or 8Ki.',
    );
  },
);

test('a part of all', () => {
  expect(partOfAll('3/12')).toEqual({ number: 3, parts: 12 });
});

test.each(['', '3', '0/4', '5/4', '1/0', '1/4/2', '1.5/2', 'a/b'])('no part: %j', (text) => {
  expect(() => partOfAll(text)).toThrow('A part of all is needed, such as 1/4 for the first of four.');
});

test('numbers in a range', () => {
  const parse = numberIn(0, 1);
  expect(['0', '1', '0.25', '1e-3'].map(parse)).toEqual([0, 1, 0.25, 0.001]);
});

test.each(['', ' ', '-0.1', '1.1', 'NaN', 'Infinity', '1,5'])('not a number from 0 to 1: %j', (text) => {
  expect(() => numberIn(0, 1)(text)).toThrow('A number from 0 to 1 is needed.');
});

test('a range without end has no infinite number in it', () => {
  const parse = numberIn(0, Number.POSITIVE_INFINITY);
  expect(parse('1e300')).toBe(1e300);
  expect(() => parse('Infinity')).toThrow('A number from 0 is needed.');
});

test.each(['', '0', '-1', 'Infinity', 'x'])('not a number above 0: %j', (text) => {
  expect(positiveNumber('1e-4')).toBe(1e-4);
  expect(() => positiveNumber(text)).toThrow('A number above 0 is needed, such as 0.001.');
});

test('lists of values, and of names', () => {
  expect(listOf(wholeNumber({ from: 1 }))('1,2, 4')).toEqual([1, 2, 4]);
  const parse = listAmong(['eager', 'compiled']);
  expect(['compiled', 'compiled,eager', 'all'].map(parse)).toEqual([
    ['compiled'],
    ['compiled', 'eager'],
    ['eager', 'compiled'],
  ]);
});

test.each(['', 'eager,', 'lazy', 'all,eager'])('not a list of names: %j', (text) => {
  expect(() => listAmong(['eager', 'compiled'])(text)).toThrow('Allowed are eager, compiled and all.');
});

test('two numbers', () => {
  expect(twoNumbers('0.1,0.9')).toEqual([0.1, 0.9]);
  expect(twoNumbers(' 100, 9e2 ')).toEqual([100, 900]);
});

test.each(['', '0.1', '0.1,', ',1', '0.1,0.5,0.9', '0.1;0.9', 'a,b', '0,Infinity'])(
  'not two numbers: %j',
  (text) => {
    expect(() => twoNumbers(text)).toThrow('Two numbers are needed, such as 0.1,0.9.');
  },
);
