import { describe, expect, it } from 'vitest';
import { countOps, drawFeeds, expectSameValues } from '../../../test/support/graph-values.ts';
import { splitLargeConvolutions } from './channel-parts.ts';
import { type Graph, graphOf } from './graph.ts';
import { peakLiveBytes } from './liveness.ts';
import * as ops from './operators.ts';
import { formatGraph } from './print.ts';
import { simplify } from './rewrite.ts';
import type { Tensor } from './tensor.ts';

const [batch, height, width, channels] = [2, 4, 3, 128];
/** Half of a map. */
const PART = (batch * height * width * channels * 4) / 2;

/** SiLU of a norm over groups of channels, as autoencoders have it before their convolutions. */
function activated(x: Tensor, groups: number): Tensor {
  const rows = ops.reshape(ops.transpose(x, [0, 3, 1, 2]), [
    batch,
    groups,
    (channels / groups) * height * width,
  ]);
  const norm = ops.reshape(ops.layerNorm(rows, 1e-6), [batch, channels, height, width]);
  const perChannel = (name: string) => ops.reshape(ops.parameter(name, [channels]), [channels, 1, 1]);
  const scaled = ops.add(ops.mul(norm, perChannel('scale')), perChannel('shift'));
  return ops.silu(ops.transpose(scaled, [0, 2, 3, 1]));
}

const image = ops.input('x', [batch, height, width, channels]);
const weight = (outputs = 5) => ops.parameter('w', [outputs, channels, 3, 3]);

function split(graph: Graph): Graph {
  const made = simplify(splitLargeConvolutions(graph, PART));
  expectSameValues(graph, made, drawFeeds(graph));
  return made;
}

describe('splitLargeConvolutions', () => {
  it('computes what a convolution reads for some groups of channels at a time', () => {
    const graph = graphOf({ y: ops.conv2d(activated(image, 4), weight(), ops.parameter('b', [5])) });
    const parts = split(graph);
    expect([countOps(parts, 'conv2d'), countOps(parts, 'layerNorm')]).toEqual([2, 2]);
    // Three maps were alive at once; now it is four halves.
    expect(peakLiveBytes(parts)).toBe((2 / 3) * peakLiveBytes(graph));
  });

  it('adds the parts to what the sum is added to, one after the other', () => {
    const change = ops.conv2d(activated(image, 4), weight(channels));
    const parts = split(graphOf({ y: ops.add(image, change) }));
    const y = parts.get('y')!;
    const [sum, last] = y.inputs as [Tensor, Tensor];
    expect([y.op, last.op, sum.op, sum.inputs[1]!.op]).toEqual(['add', 'conv2d', 'add', 'conv2d']);
    expect(sum.inputs[0]).toBe(image);
  });

  it('makes the map of doubled sides in parts of its channels, and reads them so', () => {
    const small = ops.input('x', [batch, height / 2, width, channels]);
    const doubled = ops.conv2d(
      ops.resizeNearest(small, [2, 1]),
      weight(channels),
      ops.parameter('b', [channels]),
    );
    const shortcut = ops.conv2d(doubled, ops.parameter('s', [5, channels, 1, 1]));
    const change = ops.conv2d(activated(doubled, 4), ops.parameter('v', [5, channels, 3, 3]));
    const parts = split(graphOf({ y: ops.add(shortcut, change) }));
    expect([countOps(parts, 'conv2d'), countOps(parts, 'concat')]).toEqual([6, 0]);
    expect(formatGraph(parts)).not.toContain(`f32[${doubled.shape}] = conv2d`);
  });

  it('keeps padding and stride', () => {
    const window = { stride: 2, padding: { before: [0, 0], after: [1, 1] } } as const;
    const graph = graphOf({ y: ops.conv2d(activated(image, 4), weight(), undefined, window) });
    expect(countOps(split(graph), 'conv2d')).toBe(2);
  });

  it.each([
    ['a map that is read as it is', () => ops.conv2d(image, weight())],
    ['a sum of maps', () => ops.conv2d(ops.add(image, image), weight())],
    ['an activation that mixes channels', () => ops.conv2d(ops.softmax(image), weight())],
    [
      'channels that do not divide',
      () => ops.conv2d(ops.silu(ops.input('x', [2, 4, 3, 96])), ops.parameter('w', [5, 96, 3, 3])),
    ],
    [
      'doubled sides that are read whole',
      () => ops.relu(ops.conv2d(ops.resizeNearest(image, 2), weight(channels))),
    ],
  ])('leaves %s alone', (_, make) => {
    const graph = graphOf({ y: make() });
    expect(formatGraph(splitLargeConvolutions(graph, PART))).toBe(formatGraph(graph));
  });

  it('cuts a group that lies in both parts, once it is computed whole', () => {
    const graph = graphOf({ y: ops.conv2d(activated(image, 1), weight()) });
    const parts = split(graph);
    expect([countOps(parts, 'conv2d'), countOps(parts, 'layerNorm')]).toEqual([2, 1]);
  });

  it('leaves maps alone that are small enough', () => {
    const graph = graphOf({ y: ops.conv2d(activated(image, 4), weight()) });
    expect(formatGraph(splitLargeConvolutions(graph, 2 * PART))).toBe(formatGraph(graph));
  });
});
