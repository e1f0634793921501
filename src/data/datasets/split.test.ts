import { describe, expect, it } from 'vitest';
import { countPerClass, type Samples, subset } from './samples.ts';
import { splitHeldOut } from './split.ts';

function namedSamples(sampleNames: readonly string[], classCount: number): Samples {
  return {
    name: 'named',
    classNames: Array.from({ length: classCount }, (_, i) => `class ${i}`),
    shape: [1, 1, 1],
    space: { kind: 'pixels' },
    length: sampleNames.length,
    labels: sampleNames.map((_, i) => i % classCount),
    sampleNames,
    read: () => undefined,
  };
}

const files = Array.from({ length: 10_000 }, (_, i) => `cats/img_${String(i).padStart(5, '0')}.jpg`);

describe('splitHeldOut', () => {
  it('puts every picture on exactly one side', () => {
    const { training, heldOut } = splitHeldOut(namedSamples(files, 4));
    const names = [...training.sampleNames, ...heldOut.sampleNames].toSorted();
    expect(names).toEqual(files.toSorted());
  });

  it.each([0.05, 0.1, 0.5])('holds out about %d of pictures whose names differ by a number', (fraction) => {
    const { heldOut } = splitHeldOut(namedSamples(files, 4), fraction);
    const fiveDeviations = 5 * Math.sqrt((fraction * (1 - fraction)) / files.length);
    expect(Math.abs(heldOut.length / files.length - fraction)).toBeLessThan(fiveDeviations);
  });

  it('keeps a picture on its side when others come, go or move', () => {
    const before = splitHeldOut(namedSamples(files, 1)).heldOut.sampleNames;
    const fewer = files.filter((_, i) => i % 3 !== 0).toReversed();
    const after = splitHeldOut(namedSamples(fewer, 1)).heldOut.sampleNames;
    expect(after.toSorted()).toEqual(before.filter((name) => fewer.includes(name)).toSorted());
  });

  it('leaves each class a picture to train on', () => {
    const { training, heldOut } = splitHeldOut(namedSamples(files.slice(0, 6), 3), 0.999);
    expect(countPerClass(training)).toEqual([1, 1, 1]);
    expect(countPerClass(heldOut)).toEqual([1, 1, 1]);
  });

  it('holds out nothing when asked to', () => {
    const dataset = namedSamples(files.slice(0, 50), 2);
    const { training, heldOut } = splitHeldOut(dataset, 0);
    expect(training.sampleNames).toEqual(subset(dataset, [...dataset.sampleNames.keys()], 'all').sampleNames);
    expect(heldOut.length).toBe(0);
  });

  it('refuses a fraction that leaves no training data', () => {
    expect(() => splitHeldOut(namedSamples(files, 1), 1)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: splitHeldOut: the held-out fraction is 1
        fix: use a number from 0 (nothing held out) to less than 1]
    `);
  });
});
