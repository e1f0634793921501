import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { toNumbers } from '../core/host-tensor.ts';
import { normal, randomKey } from '../core/random.ts';
import { parseSafetensors } from '../formats/safetensors.ts';
import { ClassSums, inceptionScores, shuffledInceptionScore } from './inception-score.ts';
import { spreadOf } from './spread.ts';

/** Logits of pictures of which each is surely of its class. */
const sure = (labels: readonly number[], classes: number) =>
  labels.flatMap((label) => Array.from({ length: classes }, (_, c) => (c === label ? 1000 : 0)));

test('sure pictures of K classes have the score K, and unsure ones 1', () => {
  expect(inceptionScores(sure([0, 1, 2, 3, 2, 1, 0, 3], 4), 4)[0]).toBeCloseTo(4, 12);
  expect(inceptionScores(new Float32Array(40), 4)[0]).toBeCloseTo(1, 12);
});

test('a symmetric classifier of two classes: exp(log 2 − H(p))', () => {
  const logit = Math.log(0.9 / 0.1);
  const entropy = -(0.9 * Math.log(0.9) + 0.1 * Math.log(0.1));
  expect(inceptionScores([logit, 0, 0, logit], 2)[0]).toBeCloseTo(2 * Math.exp(-entropy), 12);
});

test('splits follow the order of the pictures, the last one shorter; sorted by class each has few classes', () => {
  const labels = Array.from({ length: 50 }, (_, i) => Math.floor(i / 10));
  expect(inceptionScores(sure(labels, 5), 5, { split: 20 }).map((score) => Math.round(score))).toEqual([
    2, 2, 1,
  ]);
  const shuffled = shuffledInceptionScore(sure(labels, 5), 5, { split: 25, shuffles: 4, key: randomKey(1) });
  expect(shuffled.mean).toBeGreaterThan(4);
  expect(shuffled.deviation).toBeGreaterThan(0);
});

test('with one split the order does not matter', () => {
  const logits = normal(randomKey(5), 60);
  const { mean, deviation } = shuffledInceptionScore(logits, 3, { key: randomKey(2) });
  expect(mean).toBeCloseTo(inceptionScores(logits, 3)[0]!, 12);
  expect(deviation).toBeLessThan(1e-12);
});

describe('is what was recorded', () => {
  const read = (ending: string) =>
    readFileSync(new URL(`../../test/fixtures/eval/fid_500x64.${ending}`, import.meta.url));
  const { tensors } = parseSafetensors(read('safetensors'), 'fid_500x64');
  const { expected } = JSON.parse(read('json').toString()) as { expected: Record<string, number> };
  test.each([5000, 100, 128])('in splits of %d', (split) => {
    const scores = inceptionScores(toNumbers(tensors.get('logits')!), 10, { split });
    expect(spreadOf(scores).mean / expected[`is_split${split}_float64`]!).toBeCloseTo(1, 9);
  });
});

test('batches make no difference, and all pictures are needed', () => {
  const [count, classes] = [23, 4];
  const logits = normal(randomKey(7), count * classes);
  const options = { split: 6, shuffles: 3, key: randomKey(8) };
  const sums = new ClassSums(count, classes, options);
  for (let at = 0; at < logits.length; at += 5 * classes) {
    expect(() => sums.scores()).toThrowError(`${at / classes} of 23 pictures were added`);
    sums.add(logits.subarray(at, at + 5 * classes));
  }
  expect(sums.scores()).toEqual(inceptionScores(logits, classes, { split: 6 }));
  expect(sums.shuffled()).toEqual(shuffledInceptionScore(logits, classes, options));
});

test('a part of a picture is refused', () => {
  expect(() => inceptionScores([1, 2, 3], 2)).toThrowErrorMatchingInlineSnapshot(`
    [ShapeError: ShapeError: inceptionScores: 3 values are 1.5 pictures of 2 classes
      fix: give the logits of whole pictures]
  `);
});
