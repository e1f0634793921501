import { describe, expect, it } from 'vitest';
import type { DType } from '../../core/dtype.ts';
import { tensorOf } from '../../core/host-tensor.ts';
import type { Shape } from '../../core/shape.ts';
import { graphOf } from '../graph/graph.ts';
import * as ops from '../graph/operators.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { WindowOptions } from '../graph/window.ts';
import { evaluate } from './evaluate.ts';

const of = (shape: Shape, values: readonly number[], dtype: DType = 'f32'): Tensor =>
  ops.constant(tensorOf(dtype, shape, values));

function computed(y: Tensor): { shape: Shape; data: number[] } {
  const { shape, data } = evaluate(graphOf({ y }), new Map()).get('y')!;
  expect(shape).toEqual(y.shape);
  return { shape, data: Array.from(data, (x) => Number(x.toPrecision(7))) };
}

const count = (length: number): number[] => Array.from({ length }, (_, i) => i);
const matrix = of([2, 3], [1, 2, 3, 4, 5, 6]);
const ln2 = Math.log(2);

describe('literal values', () => {
  // Operations of one line of arithmetic; the fused ones are compared with compositions in fused.test.ts.
  const cases: readonly (readonly [name: string, y: Tensor, expected: readonly number[]])[] = [
    ['constant', of([2], [1, -2]), [1, -2]],
    ['constant i64', of([2], [7, -9], 'i64'), [7, -9]],
    ['neg', ops.neg(of([2], [1, -2])), [-1, 2]],
    ['exp', ops.exp(of([2], [0, ln2])), [1, 2]],
    ['log', ops.log(of([2], [1, Math.E])), [0, 1]],
    ['sqrt', ops.sqrt(of([2], [4, 2.25])), [2, 1.5]],
    ['reciprocal', ops.reciprocal(of([2], [4, -0.5])), [0.25, -2]],
    ['sin', ops.sin(of([2], [0, 1])), [0, 0.841471]],
    ['cos', ops.cos(of([2], [0, 1])), [1, 0.5403023]],
    ['tanh', ops.tanh(of([2], [0, 1])), [0, 0.7615942]],
    ['erf', ops.erf(of([2], [0, 1])), [0, 0.8427008]],
    ['sigmoid', ops.sigmoid(of([2], [0, 1])), [0.5, 0.7310586]],
    ['relu', ops.relu(of([3], [-2, 0, 3])), [0, 0, 3]],
    ['cast to i64 drops the fraction', ops.cast(of([3], [1.9, -1.9, 2]), 'i64'), [1, -1, 2]],
    ['cast to bool', ops.cast(of([3], [0, 0.5, -1]), 'bool'), [0, 1, 1]],
    ['stopGradient', ops.stopGradient(of([2], [3, 4])), [3, 4]],
    ['add broadcasts a row', ops.add(matrix, of([3], [10, 20, 30])), [11, 22, 33, 14, 25, 36]],
    ['sub broadcasts a column', ops.sub(matrix, of([2, 1], [1, 4])), [0, 1, 2, 0, 1, 2]],
    ['mul by a number', ops.mul(matrix, 2), [2, 4, 6, 8, 10, 12]],
    ['div of a number', ops.div(6, matrix), [6, 3, 2, 1.5, 1.2, 1]],
    ['maximum', ops.maximum(matrix, 3), [3, 3, 3, 4, 5, 6]],
    ['minimum', ops.minimum(matrix, 3), [1, 2, 3, 3, 3, 3]],
    ['clamp', ops.clamp(matrix, 2, 5), [2, 2, 3, 4, 5, 5]],
    ['less', ops.less(matrix, 3), [1, 1, 0, 0, 0, 0]],
    ['where', ops.where(of([3], [1, 0, 1], 'bool'), matrix, 0), [1, 0, 3, 4, 0, 6]],
    ['sum of all', ops.sum(matrix), [21]],
    ['sum over rows', ops.sum(matrix, 0), [5, 7, 9]],
    ['mean over columns', ops.mean(matrix, 1, true), [2, 5]],
    ['mean over outer axes', ops.mean(of([2, 2, 2], count(8)), [0, 2]), [2.5, 4.5]],
    ['reshape', ops.reshape(matrix, [3, 2]), [1, 2, 3, 4, 5, 6]],
    ['transpose', ops.transpose(matrix, [1, 0]), [1, 4, 2, 5, 3, 6]],
    ['transpose of three axes', ops.transpose(of([1, 2, 3], count(6)), [2, 0, 1]), [0, 3, 1, 4, 2, 5]],
    ['broadcastTo', ops.broadcastTo(of([2, 1], [1, 2]), [2, 2, 2]), [1, 1, 2, 2, 1, 1, 2, 2]],
    ['slice', ops.slice(matrix, 1, 1, 3), [2, 3, 5, 6]],
    ['concat', ops.concat([matrix, of([2, 1], [7, 8])], 1), [1, 2, 3, 7, 4, 5, 6, 8]],
    ['pad', ops.pad(of([1, 2], [1, 2]), [1, 0], [0, 1]), [0, 0, 0, 1, 2, 0]],
    ['reverse', ops.reverse(matrix, [1]), [3, 2, 1, 6, 5, 4]],
    ['reverse two axes', ops.reverse(matrix, [0, 1]), [6, 5, 4, 3, 2, 1]],
    ['takeRows', ops.takeRows(matrix, of([3], [1, 0, 1], 'i64')), [4, 5, 6, 1, 2, 3, 4, 5, 6]],
    ['addRows', ops.addRows(matrix, of([2], [2, 2], 'i64'), 3), [0, 0, 0, 0, 0, 0, 5, 7, 9]],
    ['matmul', ops.matmul(matrix, of([3, 2], [1, 0, 0, 1, 1, 1])), [4, 5, 10, 11]],
    ['matmul Aᵀ', ops.matmul(matrix, of([2, 1], [1, 10]), { transposeA: true }), [41, 52, 63]],
    ['matmul Bᵀ', ops.matmul(matrix, matrix, { transposeB: true }), [14, 32, 32, 77]],
    ['matmul in batches', ops.matmul(of([2, 1, 2], [1, 2, 3, 4]), of([2, 2, 1], [1, 1, 2, 3])), [3, 18]],
    ['linear', ops.linear(matrix, of([1, 3], [1, 0, -1]), of([1], [10])), [8, 8]],
    ['geluGate exact', ops.geluGate(of([2], [0, 1]), 'none'), [0.5, 0.8413447]],
    ['geluGate tanh', ops.geluGate(of([2], [0, 1]), 'tanh'), [0.5, 0.841192]],
    ['gelu exact', ops.gelu(of([2], [-1, 2]), 'none'), [-0.1586553, 1.9545]],
    ['softmax does not overflow', ops.softmax(of([2, 2], [0, ln2, 1000, 1000])), [1 / 3, 2 / 3, 0.5, 0.5]],
    ['inverseDeviation', ops.inverseDeviation(of([1, 2], [1, 5]), 0), [0.5]],
    ['layerNorm', ops.layerNorm(of([1, 2], [1, 5]), 0), [-1, 1]],
    ['inverseNorm', ops.inverseNorm(of([2, 2], [3, 4, 0, 0]), 0.01), [0.2, 100]],
    ['l2Normalize', ops.l2Normalize(of([2, 2], [3, 4, 0, 0])), [0.6, 0.8, 0, 0]],
    [
      'rotary by a quarter turn and none',
      ops.rotary(of([1, 2, 2], [1, 2, 3, 4]), of([2, 1], [0, 1]), of([2, 1], [1, 0]), 1),
      [-2, 1, 3, 4],
    ],
    [
      'attentionWeights',
      ops.attentionWeights(of([1, 1, 1], [1]), of([1, 2, 1], [0, ln2]), { heads: 1, scale: 1 }),
      [1 / 3, 2 / 3],
    ],
    [
      'attention',
      ops.attention(of([1, 1, 1], [1]), of([1, 2, 1], [0, 2 * ln2]), of([1, 2, 1], [3, 6]), {
        heads: 1,
        scale: 0.5,
      }),
      [5],
    ],
  ];
  it.each(cases)('%s', (_, y, expected) => {
    expect(computed(y).data).toEqual(expected.map((x) => Number(x.toPrecision(7))));
  });

  it('conv2d reads the neighbour that the kernel position names, and zeros outside', () => {
    const image = of([1, 3, 3, 1], count(9));
    const above = of([1, 1, 3, 3], [0, 1, 0, 0, 0, 0, 0, 0, 0]);
    expect(computed(ops.conv2d(image, above)).data).toEqual([0, 0, 0, 0, 1, 2, 3, 4, 5]);
    expect(computed(ops.depthwiseConv2d(image, above, of([1], [10]))).data).toEqual([
      10, 10, 10, 10, 11, 12, 13, 14, 15,
    ]);
  });

  it('conv2d with a stride starts at the padding before the image', () => {
    const image = of([1, 4, 3, 1], count(12));
    const corner = of([1, 1, 2, 2], [1, 0, 0, 0]);
    const at = (options: WindowOptions) => computed(ops.conv2d(image, corner, undefined, options));
    expect(at({ stride: 2, padding: 0 })).toEqual({ shape: [1, 2, 1, 1], data: [0, 6] });
    expect(at({ stride: [2, 1], padding: { before: [1, 1], after: [0, 0] } })).toEqual({
      shape: [1, 2, 3, 1],
      data: [0, 0, 0, 0, 3, 4],
    });
  });

  it('pooling takes the largest pixel or the mean of each window, padding counted as zeros in the mean alone', () => {
    const image = of([1, 2, 3, 1], [-1, -2, -3, -4, -5, -7]);
    expect(computed(ops.maxPool2d(image, { kernel: 2 }))).toEqual({ shape: [1, 1, 1, 1], data: [-1] });
    const options = { kernel: [2, 3], stride: [1, 2], padding: 1 } as const;
    expect(computed(ops.maxPool2d(image, options))).toEqual({
      shape: [1, 3, 2, 1],
      data: [-1, -2, -1, -2, -4, -5],
    });
    expect(computed(ops.averagePool2d(image, options))).toEqual({
      shape: [1, 3, 2, 1],
      data: [-3 / 6, -5 / 6, -12 / 6, -17 / 6, -9 / 6, -12 / 6].map((x) => Number(x.toPrecision(7))),
    });
  });

  it('a mean may leave padding out', () => {
    const image = of([1, 2, 3, 1], [-1, -2, -3, -4, -5, -7]);
    const options = { kernel: [2, 3], stride: [1, 2], padding: 1, countsPadding: false } as const;
    expect(computed(ops.averagePool2d(image, options)).data).toEqual(
      [-3 / 2, -5 / 2, -12 / 4, -17 / 4, -9 / 2, -12 / 2].map((x) => Number(x.toPrecision(7))),
    );
  });

  it('resizeNearest makes a block of every pixel', () => {
    const image = of([1, 1, 2, 2], [1, 2, 3, 4]);
    expect(computed(ops.resizeNearest(image, [2, 1]))).toEqual({
      shape: [1, 2, 2, 2],
      data: [1, 2, 3, 4, 1, 2, 3, 4],
    });
  });

  it('weight gradients correlate the image with the gradient', () => {
    const image = of([1, 2, 2, 1], [1, 2, 3, 4]);
    const onlyLast = of([1, 2, 2, 1], [0, 0, 0, 1]);
    const expected = [1, 2, 0, 3, 4, 0, 0, 0, 0];
    expect(computed(ops.conv2dWeightGradient(image, onlyLast, 3)).data).toEqual(expected);
    expect(computed(ops.depthwiseConv2dWeightGradient(image, onlyLast, 3)).data).toEqual(expected);
  });
});

describe('feeds', () => {
  const graph = graphOf({ y: ops.mul(ops.input('x', [2]), ops.parameter('blocks.0.gain', [2])) });
  const gain = tensorOf('f32', [2], [2, 3]);

  it('are taken by name, with all their digits', () => {
    const x = tensorOf('f64', [2], [0.1, 1]);
    const y = evaluate(
      graph,
      new Map<string, typeof x | typeof gain>([
        ['x', x],
        ['blocks.0.gain', gain],
      ]),
    );
    expect([...y.get('y')!.data]).toEqual([0.2, 3]);
  });

  it('must be there', () => {
    expect(() => evaluate(graph, new Map([['x', gain]]))).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: evaluate: no value is fed for parameter blocks.0.gain of f32[2]
        fix: add blocks.0.gain to the feeds]
    `);
  });

  it('must have the shape of their leaf', () => {
    const feeds = new Map([
      ['x', tensorOf('f32', [1], [1])],
      ['blocks.0.gain', gain],
    ]);
    expect(() => evaluate(graph, feeds)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ShapeError: evaluate: input x has shape [2], its feed has [1]]`,
    );
  });
});
