import { describe, expect, it } from 'vitest';
import { countOps, drawFeeds, expectSameValues } from '../../../test/support/graph-values.ts';
import { tensorOf } from '../../core/host-tensor.ts';
import { graphOf } from './graph.ts';
import { macsOf, sumMacs, totalMacs } from './macs.ts';
import * as ops from './operators.ts';
import { formatGraph } from './print.ts';
import { splitFoldable } from './rewrite.ts';
import {
  gateTokens,
  joinModulation,
  scaleRotations,
  splitLinears,
  splitUpsampledConvolutions,
} from './specialise.ts';
import type { Tensor } from './tensor.ts';

describe('splitLinears', () => {
  it('computes the parts of a linear map apart, and leaves what is read as a whole', () => {
    const [x, weight, bias] = [
      ops.input('x', [2, 3, 4]),
      ops.parameter('w', [6, 4]),
      ops.parameter('b', [6]),
    ];
    const [q, k] = ops.chunk(ops.linear(x, weight, bias), 2, -1);
    const whole = ops.linear(x, weight);
    const graph = graphOf({ q: ops.neg(q!), k: ops.exp(k!), whole, part: ops.slice(whole, 2, 0, 3) });
    const split = splitLinears(graph);
    expectSameValues(graph, split, drawFeeds(graph));
    expect(countOps(split, 'linear')).toBe(3);
    expect(formatGraph(graphOf({ k: split.get('k')! }))).toMatchInlineSnapshot(`
      "a:f32[2,3,4] = input x
      b:f32[6,4] = parameter w
      c:f32[6] = parameter b
      d:f32[3,4] = slice{axis=0 start=3 end=6} b
      e:f32[3] = slice{axis=0 start=3 end=6} c
      f:f32[2,3,3] = linear a d e
      g:f32[2,3,3] = exp f
      return k=g"
    `);
  });

  it('cuts single vectors, which are small', () => {
    const linear = ops.linear(ops.input('x', [2, 4]), ops.parameter('w', [6, 4]));
    const graph = graphOf({ shift: ops.slice(linear, 1, 0, 3), scale: ops.slice(linear, 1, 3, 6) });
    expect(formatGraph(splitLinears(graph))).toBe(formatGraph(graph));
  });
});

describe('splitUpsampledConvolutions', () => {
  const small = ops.input('x', [2, 2, 3, 128]);
  const weight = ops.parameter('w', [2, 128, 3, 3]);

  it('computes the pixels of each place with a convolution of the small image', () => {
    const doubled = ops.resizeNearest(small, 2);
    const bias = ops.parameter('b', [2]);
    const graph = graphOf({ plain: ops.conv2d(doubled, weight), y: ops.conv2d(doubled, weight, bias) });
    const split = splitUpsampledConvolutions(graph);
    expectSameValues(graph, split, drawFeeds(graph));
    const { rest } = splitFoldable(split);
    expect([countOps(rest, 'conv2d'), countOps(rest, 'resizeNearest'), countOps(rest, 'add')]).toEqual([
      8, 0, 0,
    ]);
    const products = (of: typeof graph) => totalMacs(sumMacs(macsOf([...of.values()])));
    expect(products(rest) / products(graph)).toBeCloseTo(16 / 36, 9);
  });

  it.each([
    ['other sides', () => ops.conv2d(ops.resizeNearest(small, [2, 1]), weight)],
    [
      'another size of the kernel',
      () => ops.conv2d(ops.resizeNearest(small, 2), ops.parameter('w', [2, 128, 1, 1])),
    ],
    [
      'another window',
      () => ops.conv2d(ops.resizeNearest(small, 2), weight, undefined, { stride: 2, padding: 1 }),
    ],
    [
      'few channels',
      () => ops.conv2d(ops.resizeNearest(ops.input('x', [1, 2, 2, 4]), 2), ops.parameter('w', [2, 4, 3, 3])),
    ],
    [
      'a weight that is computed',
      () => ops.conv2d(ops.resizeNearest(small, 2), ops.input('w', [2, 128, 3, 3])),
    ],
    ['no doubled image', () => ops.conv2d(small, weight)],
  ])('leaves %s alone', (_, make) => {
    const graph = graphOf({ y: make() });
    expect(formatGraph(splitUpsampledConvolutions(graph))).toBe(formatGraph(graph));
  });
});

describe('scaleRotations', () => {
  const [batch, tokens, heads, width] = [2, 3, 2, 4];
  const table = (fill: number) =>
    ops.constant(tensorOf('f32', [tokens, width / 2], new Array(tokens * (width / 2)).fill(fill)));
  const queries = (factor: Tensor, count = heads) => {
    const ofHeads = ops.input('q', [batch, tokens, count, (heads * width) / count]);
    const weighted = ops.reshape(ops.mul(ofHeads, factor), [batch, tokens, heads * width]);
    return graphOf({ y: ops.rotary(weighted, table(0.8), table(0.6), heads) });
  };

  it('moves a weight of each head into the tables', () => {
    const graph = queries(ops.exp(ops.parameter('logit', [heads, 1])));
    const scaled = scaleRotations(graph);
    expectSameValues(graph, scaled, drawFeeds(graph));
    const { rest } = splitFoldable(scaled);
    expect([countOps(rest, 'rotary'), countOps(rest, 'mul')]).toEqual([1, 0]);
  });

  it.each(
    Object.entries({
      'what is computed': queries(ops.input('s', [heads, 1])),
      'one weight for all heads': queries(ops.parameter('s', [1, 1])),
      'a weight of each channel': queries(ops.parameter('s', [heads, width])),
      'weights of other heads': queries(ops.parameter('s', [4, 1]), 4),
    }),
  )('leaves %s alone', (_, graph) => {
    expect(formatGraph(scaleRotations(graph))).toBe(formatGraph(graph));
  });
});

describe('joinModulation', () => {
  const x = ops.input('x', [1, 3, 4]);
  const modulated = (scale: Tensor, shift: Tensor) =>
    graphOf({ y: ops.add(ops.mul(ops.layerNorm(x, 1e-6), ops.add(scale, 1)), shift) });
  const vectors = (...shape: number[]) => modulated(ops.input('scale', shape), ops.input('shift', shape));

  it('makes one operation of a norm, a scale and a shift', () => {
    const graph = vectors(1, 1, 4);
    const joined = joinModulation(graph);
    expectSameValues(graph, joined, drawFeeds(graph));
    expect(countOps(joined, 'modulatedNorm')).toBe(1);
    expect([countOps(joined, 'layerNorm'), countOps(joined, 'mul')]).toEqual([0, 0]);
  });

  it.each(
    Object.entries({
      'vectors of each token': vectors(1, 3, 4),
      'one number': modulated(ops.input('scale', [1]), ops.input('shift', [1, 1, 4])),
      'a norm without a shift': graphOf({ y: ops.mul(ops.layerNorm(x, 1e-6), ops.input('scale', [4])) }),
    }),
  )('leaves %s alone', (_, graph) => {
    expect(formatGraph(joinModulation(graph))).toBe(formatGraph(graph));
  });
});

describe('gateTokens', () => {
  const images = ops.input('images', [2, 3, 3, 4]);
  const product = (x: Tensor, ...shape: number[]) => graphOf({ y: ops.mul(x, ops.input('gate', shape)) });

  it('multiplies tokens where each image has a gate', () => {
    const graph = product(images, 2, 1, 1, 4);
    const gated = gateTokens(graph);
    expectSameValues(graph, gated, drawFeeds(graph));
    expect(formatGraph(gated)).toContain('f32[2,9,4] = mul');
  });

  it.each(
    Object.entries({
      'a product with other images': product(images, 2, 3, 3, 4),
      'one gate for all images': product(images, 1, 1, 1, 4),
      tokens: product(ops.input('tokens', [2, 9, 4]), 2, 1, 4),
      'a norm, which no convolution made': product(ops.layerNorm(images, 1e-6), 2, 1, 1, 4),
    }),
  )('leaves %s alone', (_, graph) => {
    expect(formatGraph(gateTokens(graph))).toBe(formatGraph(graph));
  });
});
