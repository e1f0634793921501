import { expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { hostTensor, tensorOf } from '../../core/host-tensor.ts';
import { normal, randomKey } from '../../core/random.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input } from '../../engine/graph/operators.ts';
import { topologicalOrder } from '../../engine/graph/traverse.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import { initialise } from '../nn/initialise.ts';
import { countParameters } from '../nn/module.ts';
import { traceNetwork } from '../trace.ts';
import { DINOV2_PRESETS, DINOv2 } from './dinov2.ts';
import { INCEPTION_PRESETS, InceptionV3 } from './inception.ts';

const PRESET = INCEPTION_PRESETS['FID-Inception']!;

/** The parameters of the published files, without the mask token that training alone needs. */
test.each([
  ['DINOv2-S/14', 22_056_576],
  ['DINOv2-B/14', 86_580_480],
  ['DINOv2-L/14', 304_368_640],
])('%s has %d parameters', (name, count) => {
  expect(countParameters(new DINOv2(DINOV2_PRESETS[name]!).parameters())).toBe(
    count - DINOV2_PRESETS[name]!.width,
  );
});

test('Inception gives what FID, sFID and the Inception Score read, whatever the size of the pictures', () => {
  const { outputs } = traceNetwork(new InceptionV3(PRESET), { batch: 2, size: { height: 16, width: 24 } });
  const shapes = Object.entries(outputs).map(([name, { shape }]) => [name, shape]);
  expect(shapes).toEqual([
    ['features', [2, 2048]],
    ['spatial', [2, 2023]],
    ['logits', [2, 1008]],
  ]);
});

test('Inception takes bytes b as (b − 128) / 128, or as b / 127.5 − 1', () => {
  const bytes = [0, 1, 128, 255];
  const x = tensorOf(
    'f32',
    [1, 1, 2, 2],
    bytes.map((byte) => byte / 127.5 - 1),
  );
  const cornersOf = (preprocessing: 'tensorflow' | 'pytorch') => {
    const network = new InceptionV3({ ...PRESET, preprocessing });
    const y = network.resize.apply(input('x', [1, 1, 2, 2]));
    const { data } = evaluate(graphOf({ y }), new Map([['x', x]])).get('y')!;
    return [0, 298, 299 * 298, 299 * 299 - 1].map((at) => data[at]!);
  };
  expectClose(
    cornersOf('tensorflow'),
    bytes.map((byte) => (byte - 128) / 128),
    { relative: 1e-6, absolute: 1e-6 },
  );
  expectClose(
    cornersOf('pytorch'),
    bytes.map((byte) => byte / 127.5 - 1),
    { relative: 1e-6, absolute: 1e-6 },
  );
});

const TINY = { inputSize: 4, inChannels: 3, patchSize: 2, width: 8, depth: 2, heads: 2, positions: 3 };

test('DINOv2 brings pictures of any size to its own, and describes each by itself', () => {
  const network = new DINOv2(TINY);
  const weights = initialise(network, network.initRule, randomKey(1));
  const pictures = hostTensor('f32', [2, 3, 6, 5], normal(randomKey(2), 180));
  const featuresOf = (batch: number, data: Float32Array) => {
    const { outputs } = traceNetwork(network, { batch, size: { height: 6, width: 5 } });
    const feeds = new Map([...weights, ['x', hostTensor('f32', [batch, 3, 6, 5], data)] as const]);
    return evaluate(graphOf(outputs), feeds).get('features')!.data;
  };
  const both = featuresOf(2, pictures.data);
  expect(both.length).toBe(16);
  expectClose(featuresOf(1, pictures.data.slice(90)), both.slice(8), { relative: 1e-12 });
});

test('at the size of its training the positions are those of the file, and others are computed of them', () => {
  const positionsRead = (side: number) => {
    const { classToken } = new DINOv2(TINY).tokensOf(input('x', [1, 3, side, side]));
    const reads = topologicalOrder([classToken]).filter(({ inputs }) =>
      inputs.some(({ params }) => 'name' in params && params.name === 'pos_embed'),
    );
    return reads.map(({ op }) => op);
  };
  expect(positionsRead(6)).toEqual(['add']);
  expect(positionsRead(4)).toEqual(['slice', 'slice']);
});

test('impossible transformers are refused', () => {
  expect(() => new DINOv2({ ...TINY, heads: 3 })).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: DINOv2: 3 heads do not divide width 8
      fix: use a width such as 9]
  `);
  expect(() => new DINOv2({ ...TINY, inputSize: 5 })).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: DINOv2: input size 5 is not a multiple of 2, the patch size
      fix: use input size 6]
  `);
});
