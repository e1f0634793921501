import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type HostTensor, tensorOf } from '../../core/host-tensor.ts';
import { squareOf } from '../../core/image-size.ts';
import { normal, randomKey } from '../../core/random.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input } from '../../engine/graph/operators.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import { initialise, normalWith } from '../nn/initialise.ts';
import { sinCosPositions } from '../nn/position.ts';
import { presetSpec } from '../presets.ts';
import { createModel } from '../registry.ts';
import { traceNetwork } from '../trace.ts';
import { DiT, type DiTConfig, FULL_ATTENTION, unpatchify } from './dit.ts';

const TINY: DiTConfig = {
  inputSize: 8,
  inChannels: 3,
  numClasses: 3,
  learnSigma: true,
  classDropoutProb: 0.1,
  patchSize: 2,
  width: 12,
  depth: 2,
  heads: 2,
  mlpRatio: 4,
  discardSigma: false,
  ...FULL_ATTENTION,
};

const condition = (count: number) => ({ t: input('t', [count]), y: input('y', [count], 'i64') });

test('DiT-S/2 has the parameters of the official checkpoint, in its order', () => {
  const golden = new URL('../../../test/golden/keys/dit-s-2.json', import.meta.url);
  const parameters = [...createModel(presetSpec('DiT-S/2')).parameters()];
  expect(parameters.map(({ name, shape }) => [name, shape])).toEqual(
    JSON.parse(readFileSync(golden, 'utf8')),
  );
});

describe('positions', () => {
  const model = new DiT(TINY);

  test('are the one frozen parameter', () => {
    const frozen = [...model.parameters()].filter((parameter) => parameter.frozen);
    expect(frozen.map(({ name, shape }) => [name, shape])).toEqual([['pos_embed', [1, 16, 12]]]);
  });

  test('get their values from the initialisation', () => {
    const values = initialise(model, model.initRule, randomKey(0));
    expect(values.get('pos_embed')!.data).toEqual(sinCosPositions(squareOf(4), 12));
  });

  test('are those of rows and columns where these differ', () => {
    const oblong = new DiT({ ...TINY, inputSize: '12x8' });
    const { shape, data } = initialise(oblong, oblong.initRule, randomKey(0)).get('pos_embed')!;
    expect(shape).toEqual([1, 24, 12]);
    expect(data).toEqual(sinCosPositions({ height: 6, width: 4 }, 12));
  });
});

test('a fresh model predicts zero, as adaLN-Zero asks', () => {
  const model = new DiT(TINY);
  const feeds = new Map<string, HostTensor>([
    ...initialise(model, model.initRule, randomKey(0)),
    [
      'x',
      tensorOf(
        'f32',
        [1, 3, 8, 8],
        Array.from({ length: 192 }, (_, i) => Math.sin(i)),
      ),
    ],
    ['t', tensorOf('f32', [1], [500])],
    ['y', tensorOf('i64', [1], [1])],
  ]);
  const out = model.apply(input('x', [1, 3, 8, 8]), condition(1));
  expect(out.shape).toEqual([1, 6, 8, 8]);
  expect(
    evaluate(graphOf({ out }), feeds)
      .get('out')!
      .data.every((value) => value === 0),
  ).toBe(true);
});

test('unpatchify puts the pixels of each patch where they belong', () => {
  // One channel, patches of 2×2 in a grid of 2×2, numbered in the order of tokens and then of pixels.
  const tokens = tensorOf(
    'f32',
    [1, 4, 4],
    Array.from({ length: 16 }, (_, i) => i),
  );
  const image = evaluate(
    graphOf({ image: unpatchify(input('tokens', [1, 4, 4]), 2, squareOf(2)) }),
    new Map([['tokens', tokens]]),
  );
  expect(Array.from(image.get('image')!.data)).toEqual([
    0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15,
  ]);
});

test('SiT throws away the channels of a variance: what is left is the first half of what they are learned with', () => {
  const learning = new DiT(TINY);
  const discarding = new DiT({ ...TINY, learnSigma: false, discardSigma: true });
  const shapesOf = (model: DiT) => [...model.parameters()].map(({ name, shape }) => [name, shape]);
  expect(shapesOf(discarding)).toEqual(shapesOf(learning));
  const weights = initialise(learning, () => normalWith(0.3), randomKey(3));
  const feeds = new Map<string, HostTensor>([
    ...weights,
    ['x', tensorOf('f32', [1, 3, 8, 8], normal(randomKey(4), 192))],
    ['t', tensorOf('f32', [1], [0.25])],
    ['y', tensorOf('i64', [1], [2])],
  ]);
  const predict = (model: DiT) =>
    evaluate(graphOf({ out: traceNetwork(model).outputs.prediction }), feeds).get('out')!;
  const [whole, half] = [predict(learning), predict(discarding)];
  expect([whole.shape, half.shape]).toEqual([
    [1, 6, 8, 8],
    [1, 3, 8, 8],
  ]);
  expect(half.data).toEqual(whole.data.slice(0, 192));
});

describe('errors', () => {
  const build = (change: Partial<DiTConfig>) => () => new DiT({ ...TINY, ...change });

  test('down factor', () => {
    expect(build({ tokens: 'kv', downFactor: 3 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: DiT: input size 8 is not a multiple of 6, patch size 2 times down factor 3
        fix: use input size 12 or another down factor]
    `);
  });

  test('input size', () => {
    expect(build({ inputSize: 10, patchSize: 4 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: DiT: input size 10 is not a multiple of 4, the patch size
        fix: use input size 12 or another patch size]
    `);
  });
  test('width', () => {
    expect(build({ width: 10, heads: 2 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: DiT: width 10 is not a multiple of 4, which sine-cosine positions need
        fix: use a width that is a multiple of 4, such as 12]
    `);
  });
  test('heads', () => {
    expect(build({ heads: 5 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: DiT: 5 heads do not divide width 12
        fix: use a width that is a multiple of 20, such as 20]
    `);
  });
  test('a variance that is learned and discarded', () => {
    expect(build({ discardSigma: true })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: DiT: the variance cannot be both learned (learnSigma true) and discarded (discardSigma true)
        fix: set discardSigma to false, or use an objective that learns no variance]
    `);
  });
  test('images of another size', () => {
    const apply = () => new DiT(TINY).apply(input('x', [1, 4, 8, 8]), condition(1));
    expect(apply).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: expectAxes: axis C differs: the tensor has 4, 3 is expected
        tensor  f32[N=1, C=4, H=8, W=8]]
    `);
  });
});
