import { describe, expect, it } from 'vitest';
import {
  fold,
  hashString,
  normal,
  permutation,
  type RandomKey,
  randomBits,
  randomIntegers,
  randomKey,
  threefry,
  uniform,
} from './random.ts';

const COUNT = 100_000;
const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((total, x) => total + x, 0) / values.length;
const moment = (values: ArrayLike<number>, power: number): number =>
  mean(Array.from(values, (x) => x ** power));
const correlation = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  mean(Array.from(a, (x, i) => x * b[i]!));

describe('threefry', () => {
  // kat_vectors of Random123 (D. E. Shaw Research), lines "threefry 2x32 20".
  const encrypted = (counter0: number, counter1: number, key: RandomKey): string[] => {
    const out = new Int32Array(2);
    threefry(key, counter0, counter1, out, 0);
    return Array.from(out, (word) => (word >>> 0).toString(16));
  };

  it('gives the known answers', () => {
    expect(encrypted(0, 0, [0, 0])).toEqual(['6b200159', '99ba4efe']);
    expect(encrypted(-1, -1, [-1, -1])).toEqual(['1cb996fc', 'bb002be7']);
    expect(encrypted(0x243f6a88, 0x85a308d3, [0x13198a2e, 0x03707344])).toEqual(['c4923a9c', '483df7a0']);
  });
});

describe('keys', () => {
  it('keep all 53 bits of a seed', () => {
    expect(randomKey(7)).toEqual([0, 7]);
    expect(randomKey(2 ** 32 + 7)).toEqual([1, 7]);
    expect(fold([0, 0], 2 ** 40)).not.toEqual(fold([0, 0], 0));
  });

  it('are values: the same labels give the same key', () => {
    expect(fold(randomKey(1), 'noise', 12)).toEqual(fold(fold(randomKey(1), 'noise'), 12));
  });

  it('differ by label, by order and by seed', () => {
    const labels = [['noise', 1], ['noise', 2], ['time', 1], [1, 'noise'], ['noise'], ['noises'], [1], ['1']];
    const keys = [1, 2].flatMap((seed) => labels.map((path) => fold(randomKey(seed), ...path).join()));
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('of neighbouring steps and samples give unrelated numbers', () => {
    const root = randomKey(0);
    const first = normal(fold(root, 'noise', 0), COUNT);
    for (const other of [fold(root, 'noise', 1), fold(root, 'time', 0), fold(randomKey(1), 'noise', 0)]) {
      // Four standard errors of a correlation of independent samples.
      expect(Math.abs(correlation(first, normal(other, COUNT)))).toBeLessThan(4 / Math.sqrt(COUNT));
    }
    const firstOfEach = Float32Array.from({ length: 10_000 }, (_, step) => normal(fold(root, step), 1)[0]!);
    expect(Math.abs(mean(firstOfEach))).toBeLessThan(0.04);
    expect(Math.abs(correlation(firstOfEach.slice(1), firstOfEach))).toBeLessThan(0.04);
  });
});

describe('numbers', () => {
  const key = randomKey(42);

  it('a longer draw continues a shorter one, also at odd counts', () => {
    expect(randomBits(key, 5)).toEqual(randomBits(key, 8).slice(0, 5));
    expect(normal(key, 5)).toEqual(normal(key, 8).slice(0, 5));
    expect(randomBits(key, 0)).toHaveLength(0);
  });

  it('uniform has its moments and stays in [0, 1)', () => {
    const values = uniform(key, COUNT);
    expect(Math.max(...values.slice(0, 50_000))).toBeLessThan(1);
    expect(Math.min(...values.slice(0, 50_000))).toBeGreaterThanOrEqual(0);
    expect(mean(values)).toBeCloseTo(1 / 2, 2);
    expect(moment(values, 2)).toBeCloseTo(1 / 3, 2);
  });

  it('normal has its moments, neighbours unrelated', () => {
    const values = normal(key, COUNT);
    expect(Math.abs(mean(values))).toBeLessThan(0.0127); // four standard errors
    expect(Math.abs(moment(values, 2) - 1)).toBeLessThan(0.018);
    expect(Math.abs(moment(values, 3))).toBeLessThan(0.05);
    expect(Math.abs(moment(values, 4) - 3)).toBeLessThan(0.13);
    expect(Math.abs(correlation(values.slice(1), values))).toBeLessThan(0.0127);
    expect(values.every(Number.isFinite)).toBe(true);
  });

  it('randomIntegers are equally frequent', () => {
    const counts = new Array<number>(10).fill(0);
    for (const value of randomIntegers(key, COUNT, 10)) counts[value]!++;
    for (const count of counts) expect(Math.abs(count - COUNT / 10)).toBeLessThan(400);
  });
});

describe('permutation', () => {
  it('holds every number once', () => {
    expect([...permutation(randomKey(3), 1000)].sort((a, b) => a - b)).toEqual(
      Array.from({ length: 1000 }, (_, i) => i),
    );
  });

  it('gives all orders of three equally often', () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = permutation(fold(randomKey(4), i), 3).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });
});

describe('hashString', () => {
  // Published vectors of FNV-1a, 32 bits (draft-eastlake-fnv, appendix C).
  it.each([
    ['', 0x811c9dc5],
    ['a', 0xe40c292c],
    ['foobar', 0xbf9cf968],
  ])('of "%s"', (text, hash) => {
    expect(hashString(text) >>> 0).toBe(hash);
  });
});
