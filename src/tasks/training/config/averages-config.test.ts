import { describe, expect, test } from 'vitest';
import { withAverages } from './earlier-ema.ts';
import { resolveTrainConfig } from './train-config.ts';

const SLOW = { name: 'slow', kind: 'power', relativeStd: 0.1 };
const EMA = { name: 'ema', kind: 'exponential', decay: 0.9, warmup: false };

describe('the keys of 0.1.0', () => {
  const averagesOf = (...layers: Parameters<typeof resolveTrainConfig>[0]) =>
    resolveTrainConfig(layers).averages;

  test('set the average ema, each on its own', () => {
    const [recipe] = averagesOf();
    expect(averagesOf({ optimizer: { emaDecay: 0.5 } })).toEqual([{ ...recipe, decay: 0.5 }]);
    expect(averagesOf({ optimizer: { emaWarmup: false } }, { optimizer: { emaDecay: 0.5 } })).toEqual([
      { ...recipe, decay: 0.5, warmup: false },
    ]);
  });

  test('change one of several, and give way to averages of a later layer', () => {
    const several = { averages: [SLOW, EMA] };
    const decay = { optimizer: { emaDecay: 0.5 } };
    expect(averagesOf(several, decay)).toEqual([SLOW, { ...EMA, decay: 0.5 }]);
    expect(averagesOf(decay, several)).toEqual([SLOW, EMA]);
  });

  test('need an average of this name', () => {
    expect(() =>
      averagesOf({ averages: [SLOW], optimizer: { emaWarmup: true } }),
    ).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: optimizer.emaWarmup: it sets the exponential average ema, and averages has none of this name
        fix: leave it out, and set the averages themselves]
    `);
  });

  test('are known when one of them is mistyped', () => {
    expect(() => averagesOf({ optimizer: { emadecay: 0.5 } })).toThrow('did you mean optimizer.emaDecay?');
  });

  test('of a run become its average', () => {
    const run = { optimizer: { learningRate: 1, emaDecay: 0.9, emaWarmup: false }, training: { seed: 1 } };
    expect(withAverages(run)).toEqual({
      ...{ optimizer: { learningRate: 1 }, averages: [EMA], training: { seed: 1 } },
    });
    const today = { optimizer: { learningRate: 1 }, averages: [SLOW] };
    expect(withAverages(today)).toBe(today);
  });
});

test('there may be none', () => {
  expect(resolveTrainConfig([{ averages: [] }]).averages).toEqual([]);
});

test.each([
  ['two of one name', [EMA, { ...SLOW, name: 'ema' }]],
  ['the name of another group', [{ ...EMA, name: 'model' }]],
  ['a name with dots', [{ ...EMA, name: 'ema.fast' }]],
  ['an unknown kind', [{ ...EMA, kind: 'mean' }]],
  ['a mistyped key', [EMA, { ...SLOW, relativStd: 0.1 }]],
  ['a key of another kind', [{ ...SLOW, decay: 0.1 }]],
  ['too wide', [{ ...SLOW, relativeStd: 0.5 }]],
])('averages that cannot be: %s', (_, averages) => {
  expect(() => resolveTrainConfig([{ averages }])).toThrowErrorMatchingSnapshot();
});

test.each([
  ['an unknown kind', { kind: 'adam' }],
  ['a key of another kind', { kind: 'sgd', beta1: 0.9 }],
])('optimizers that cannot be: %s', (_, optimizer) => {
  expect(() => resolveTrainConfig([{ optimizer }])).toThrowErrorMatchingSnapshot();
});
