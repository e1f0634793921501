/** Every fused operation against its composition of primitives. */
import { describe, it } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { tensorOf } from '../../core/host-tensor.ts';
import { fold, normal, randomKey } from '../../core/random.ts';
import { sizeOf } from '../../core/shape.ts';
import { checkGraph, graphOf } from '../graph/graph.ts';
import * as ops from '../graph/operators.ts';
import type { Tensor } from '../graph/tensor.ts';
import { evaluate } from './evaluate.ts';

let drawn = 0;
/** Normal values, different at every call. */
const any = (...shape: number[]): Tensor =>
  ops.constant(tensorOf('f32', shape, normal(fold(randomKey(3), drawn++), sizeOf(shape))));

function expectSame(fused: Tensor, composed: Tensor): void {
  const graph = graphOf({ fused, composed });
  checkGraph(graph);
  const values = evaluate(graph, new Map());
  // Compositions hold constants such as √(2/π) as float32.
  expectClose(values.get('fused')!.data, values.get('composed')!.data, { relative: 1e-7 });
}

/** The pixel at (row + down, column + right) of every pixel, zero outside: x [N, H, W, C]. */
function shifted(x: Tensor, down: number, right: number): Tensor {
  const [, height, width] = x.shape as [number, number, number, number];
  const reach = Math.max(Math.abs(down), Math.abs(right));
  const padded = ops.pad(x, [0, reach, reach, 0], [0, reach, reach, 0]);
  const rows = ops.slice(padded, 1, reach + down, reach + down + height);
  return ops.slice(rows, 2, reach + right, reach + right + width);
}

/** For every tap of a k×k kernel: the weights [O, I] at it and the image it reads. */
function tapsOf(x: Tensor, weight: Tensor): { readonly image: Tensor; readonly weights: Tensor }[] {
  const [outputs, inputs, kernel] = weight.shape as [number, number, number];
  const reach = (kernel - 1) / 2;
  return Array.from({ length: kernel * kernel }, (_, tap) => {
    const [row, column] = [Math.floor(tap / kernel), tap % kernel];
    const weightRow = ops.slice(weight, 2, row, row + 1);
    return {
      image: shifted(x, row - reach, column - reach),
      weights: ops.reshape(ops.slice(weightRow, 3, column, column + 1), [outputs, inputs]),
    };
  });
}

const total = (terms: readonly Tensor[]): Tensor => terms.reduce((sum, term) => ops.add(sum, term));

describe('fused operations equal their compositions', () => {
  it('gelu, exact', () => {
    const x = any(3, 5);
    const gate = ops.mul(0.5, ops.add(1, ops.erf(ops.mul(x, Math.SQRT1_2))));
    expectSame(ops.geluGate(x, 'none'), gate);
    expectSame(ops.gelu(x, 'none'), ops.mul(x, gate));
  });

  it('gelu, tanh approximation', () => {
    const x = any(3, 5);
    const cubic = ops.add(x, ops.mul(0.044715, ops.mul(x, ops.square(x))));
    const gate = ops.mul(0.5, ops.add(1, ops.tanh(ops.mul(Math.sqrt(2 / Math.PI), cubic))));
    expectSame(ops.geluGate(x, 'tanh'), gate);
    expectSame(ops.gelu(x, 'tanh'), ops.mul(x, gate));
  });

  it('softmax', () => {
    const x = any(2, 3, 4);
    const exponentials = ops.exp(x);
    expectSame(ops.softmax(x), ops.div(exponentials, ops.sum(exponentials, -1, true)));
  });

  it('layerNorm', () => {
    const x = any(2, 6);
    const eps = 1e-3;
    const centred = ops.sub(x, ops.mean(x, -1, true));
    const scale = ops.reciprocal(ops.sqrt(ops.add(ops.mean(ops.square(centred), -1, true), eps)));
    expectSame(ops.inverseDeviation(x, eps), scale);
    expectSame(ops.layerNorm(x, eps), ops.mul(centred, scale));
  });

  it('l2Normalize, with a vector shorter than eps among others', () => {
    const x = ops.mul(any(3, 4), ops.constantOf([3, 1], [1, 1e-3, 2]));
    const eps = 0.1;
    const norm = ops.sqrt(ops.sum(ops.square(x), -1, true));
    const scale = ops.reciprocal(ops.maximum(norm, eps));
    expectSame(ops.inverseNorm(x, eps), scale);
    expectSame(ops.l2Normalize(x, eps), ops.mul(x, scale));
  });

  it('linear', () => {
    const [x, weight, bias] = [any(2, 3, 4), any(5, 4), any(5)];
    const product = ops.matmul(ops.reshape(x, [6, 4]), weight, { transposeB: true });
    expectSame(ops.linear(x, weight), ops.reshape(product, [2, 3, 5]));
    expectSame(ops.linear(x, weight, bias), ops.add(ops.reshape(product, [2, 3, 5]), bias));
  });

  it.each([1, 3, 5])('conv2d with kernel %d', (kernel) => {
    const [x, weight, bias] = [any(2, 3, 4, 2), any(3, 2, kernel, kernel), any(3)];
    const composed = total(tapsOf(x, weight).map(({ image, weights }) => ops.linear(image, weights)));
    expectSame(ops.conv2d(x, weight), composed);
    expectSame(ops.conv2d(x, weight, bias), ops.add(composed, bias));
  });

  it.each([1, 3, 5])('depthwiseConv2d with kernel %d', (kernel) => {
    const [x, weight, bias] = [any(2, 3, 4, 2), any(2, 1, kernel, kernel), any(2)];
    const composed = total(
      tapsOf(x, weight).map(({ image, weights }) => ops.mul(image, ops.reshape(weights, [2]))),
    );
    expectSame(ops.depthwiseConv2d(x, weight), composed);
    expectSame(ops.depthwiseConv2d(x, weight, bias), ops.add(composed, bias));
  });

  it.each([1, 3])('weight gradients of convolutions with kernel %d', (kernel) => {
    const [x, dy] = [any(2, 3, 4, 2), any(2, 3, 4, 2)];
    const taps = tapsOf(x, any(2, 2, kernel, kernel)).map(({ image }) => image);
    const rows = (image: Tensor): Tensor => ops.reshape(image, [24, 2]);
    const dense = taps.map((image) =>
      ops.reshape(ops.matmul(rows(dy), rows(image), { transposeA: true }), [2, 2, 1]),
    );
    const diagonal = taps.map((image) => ops.reshape(ops.sum(ops.mul(dy, image), [0, 1, 2]), [2, 1, 1]));
    expectSame(
      ops.conv2dWeightGradient(x, dy, kernel),
      ops.reshape(ops.concat(dense, 2), [2, 2, kernel, kernel]),
    );
    expectSame(
      ops.depthwiseConv2dWeightGradient(x, dy, kernel),
      ops.reshape(ops.concat(diagonal, 2), [2, 1, kernel, kernel]),
    );
  });

  it('rotary', () => {
    const [x, cos, sin] = [any(2, 3, 8), any(3, 2), any(3, 2)];
    // heads and pairs as axes of their own; the tables stand between tokens and heads
    const pairs = ops.reshape(x, [2, 3, 2, 2, 2]);
    const [even, odd] = [ops.slice(pairs, 4, 0, 1), ops.slice(pairs, 4, 1, 2)];
    const table = (values: Tensor): Tensor => ops.reshape(values, [3, 1, 2, 1]);
    const rotated = ops.concat(
      [
        ops.sub(ops.mul(even, table(cos)), ops.mul(odd, table(sin))),
        ops.add(ops.mul(even, table(sin)), ops.mul(odd, table(cos))),
      ],
      4,
    );
    expectSame(ops.rotary(x, cos, sin, 2), ops.reshape(rotated, [2, 3, 8]));
  });

  it('attention', () => {
    const params = { heads: 2, scale: 0.7 };
    const [q, k, v] = [any(2, 5, 6), any(2, 3, 6), any(2, 3, 6)];
    const heads = (x: Tensor): Tensor => ops.splitHeads(x, params.heads);
    const scores = ops.mul(ops.matmul(heads(q), heads(k), { transposeB: true }), params.scale);
    const weights = ops.softmax(scores);
    expectSame(ops.attentionWeights(q, k, params), weights);
    expectSame(ops.attention(q, k, v, params), ops.mergeHeads(ops.matmul(weights, heads(v))));
  });
});
