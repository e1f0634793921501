import { describe, expect, test } from 'vitest';
import { macsOf, sumMacs, totalMacs } from './macs.ts';
import * as ops from './operators.ts';
import type { Tensor } from './tensor.ts';
import { gradients } from './vjp.ts';

const countsOf = (...outputs: readonly Tensor[]) => sumMacs(macsOf(outputs));
const input = (...shape: number[]) => ops.input('x', shape);
const weight = (...shape: number[]) => ops.parameter('w', shape);

describe('closed forms', () => {
  const N = 2;
  const [H, W, I, O] = [5, 7, 3, 4];
  const [T, S, D] = [6, 10, 8];

  test.each<[string, Tensor, ReturnType<typeof sumMacs>]>([
    [
      'linear',
      ops.linear(input(N, T, I), weight(O, I)),
      { attention: 0, linear: N * T * I * O, convolution: 0 },
    ],
    [
      'a 1×1 convolution, computed as linear',
      ops.linear(input(N, H, W, I), ops.reshape(weight(O, I, 1, 1), [O, I])),
      { attention: 0, linear: 0, convolution: N * H * W * I * O },
    ],
    [
      'quantizedLinear',
      ops.quantizedLinear(input(N, T, I), ops.parameter('w', [I, O], 'i8'), ops.parameter('s', [O])),
      { attention: 0, linear: N * T * I * O, convolution: 0 },
    ],
    [
      'conv2d',
      ops.conv2d(input(N, H, W, I), weight(O, I, 3, 3)),
      { attention: 0, linear: 0, convolution: N * H * W * I * O * 9 },
    ],
    [
      'conv2d with a stride: half of the rows, a third of the columns',
      ops.conv2d(input(N, 6, 9, I), weight(O, I, 2, 5), undefined, { stride: [2, 3], padding: [0, 2] }),
      { attention: 0, linear: 0, convolution: N * 3 * 3 * I * O * 10 },
    ],
    [
      'conv2dWeightGradient',
      ops.conv2dWeightGradient(input(N, H, W, I), ops.input('dy', [N, H, W, O]), 3),
      { attention: 0, linear: 0, convolution: N * H * W * I * O * 9 },
    ],
    [
      'depthwiseConv2d',
      ops.depthwiseConv2d(input(N, H, W, I), weight(I, 1, 5, 5)),
      { attention: 0, linear: 0, convolution: N * H * W * I * 25 },
    ],
    [
      'depthwiseConv2dWeightGradient',
      ops.depthwiseConv2dWeightGradient(input(N, H, W, I), ops.input('dy', [N, H, W, I]), 5),
      { attention: 0, linear: 0, convolution: N * H * W * I * 25 },
    ],
    [
      'attention: scores and values',
      ops.attention(input(N, T, D), ops.input('k', [N, S, D]), ops.input('v', [N, S, D]), {
        heads: 2,
        scale: 1,
      }),
      { attention: 2 * N * T * S * D, linear: 0, convolution: 0 },
    ],
    [
      'attentionWeights: scores alone',
      ops.attentionWeights(input(N, T, D), ops.input('k', [N, S, D]), { heads: 2, scale: 1 }),
      { attention: N * T * S * D, linear: 0, convolution: 0 },
    ],
    [
      'matmul per head',
      ops.matmul(input(N, 2, T, S), ops.input('v', [N, 2, S, D])),
      { attention: N * 2 * T * S * D, linear: 0, convolution: 0 },
    ],
    [
      'matmul of transposed matrices',
      ops.matmul(input(T, S), ops.input('v', [D, T]), { transposeA: true, transposeB: true }),
      { attention: 0, linear: T * S * D, convolution: 0 },
    ],
  ])('%s', (_, output, expected) => {
    expect(countsOf(output)).toEqual(expected);
  });
});

test('what depends on weights alone is done once and not counted', () => {
  const product = ops.matmul(ops.parameter('w2', [4, 2]), ops.parameter('w1', [2, 3]));
  expect(totalMacs(countsOf(ops.linear(input(5, 3), product)))).toBe(5 * 3 * 4);
});

test('a node that several outputs need counts once', () => {
  const y = ops.linear(input(5, 3), weight(4, 3));
  expect(totalMacs(countsOf(ops.exp(y), ops.neg(y), y))).toBe(5 * 3 * 4);
});

test('backward costs twice what forward does, where inputs need gradients too', () => {
  const [x, w1, w2] = [input(1, 6, 6, 2), ops.parameter('w1', [4, 2, 3, 3]), ops.parameter('w2', [3, 4])];
  const y = ops.linear(ops.conv2d(x, w1), w2);
  const forward = countsOf(y);
  const [dx, d1, d2] = gradients(ops.sum(ops.square(y)), [x, w1, w2]);
  expect(totalMacs(countsOf(y, dx!, d1!, d2!))).toBe(3 * totalMacs(forward));
});
