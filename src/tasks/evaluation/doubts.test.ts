import { expect, test } from 'vitest';
import { describeClasses, doubtsAbout } from './doubts.ts';

const labelsOf = (counts: readonly number[]) =>
  counts.flatMap((count, label) => new Array<number>(count).fill(label));

test('classes are described by their shares', () => {
  expect(describeClasses(undefined)).toBeUndefined();
  expect(describeClasses(labelsOf([3]))).toBe('1 class, 3 pictures each');
  expect(describeClasses(labelsOf([2, 2]))).toBe('2 classes, 2 pictures each');
  // In the order of the labels, whatever that of the pictures.
  expect(describeClasses([...labelsOf([1, 4, 2])].reverse())).toBe('3 classes, 1 + 4 + 2 pictures');
  const many = Array.from({ length: 41 }, (_, label) => 10 + label);
  expect(describeClasses(labelsOf(many))).toBe('41 classes, 10 to 50 pictures each, half of them 20 to 40');
});

test('unequal shares of the classes are told where FID is measured', () => {
  const doubts = (counts: readonly number[], metric: 'fid' | 'mind') => {
    const labels = labelsOf(counts);
    const seen = { count: labels.length, constant: 0, digests: labels.map((_, i) => String(i)) };
    const source = { name: 'drawn', doubts: [], labels };
    return doubtsAbout(
      { source: { name: 'real', doubts: [] }, seen: undefined },
      { source, seen },
      [metric],
      0,
    );
  };
  expect(doubts([3, 5, 4], 'fid')).toEqual([
    'the classes of drawn have unequal shares: between equal ones and random labels FID differs by about 0.1',
  ]);
  expect([doubts([4, 5, 4], 'fid'), doubts([3, 5, 4], 'mind')]).toEqual([[], []]);
});
