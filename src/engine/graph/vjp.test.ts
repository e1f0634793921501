import { describe, expect, it } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { buildCase, hasGradient, OP_CASES, titleOf, weightedSum } from '../../../test/support/op-cases.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf, toNumbers } from '../../core/host-tensor.ts';
import { normal, randomKey } from '../../core/random.ts';
import { sizeOf } from '../../core/shape.ts';
import { evaluate } from '../interp/evaluate.ts';
import { checkGraph, graphOf } from './graph.ts';
import {
  add,
  attention,
  attentionWeights,
  clamp,
  constant,
  constantOf,
  cos,
  depthwiseConv2dWeightGradient,
  exp,
  input,
  inverseDeviation,
  inverseNorm,
  l2Normalize,
  layerNorm,
  maximum,
  maxPool2d,
  minimum,
  mul,
  parameter,
  relu,
  rotary,
  sin,
  softmax,
  stopGradient,
  sum,
  takeRows,
} from './operators.ts';
import type { OpName, Tensor } from './tensor.ts';
import { gradients, VJP } from './vjp.ts';

/** Third derivatives and float64 rounding balance near the cube root of the machine precision. */
const STEP = 1e-5;
/** Gradients carry constants such as √(2/π) as float32. */
const TOLERANCE = { relative: 1e-6 };

const float64 = ({ shape, ...tensor }: HostTensor): HostTensor<'f64'> =>
  hostTensor('f64', shape, Float64Array.from(toNumbers({ shape, ...tensor } as HostTensor)));

const scalarAt = (loss: Tensor, feeds: TensorMap): number =>
  evaluate(graphOf({ loss }), feeds).get('loss')!.data[0]!;

/** (loss(x + h) − loss(x − h)) / 2h for every element of one feed. */
function centralDifferences(loss: Tensor, feeds: TensorMap, name: string): Float64Array {
  const x = float64(feeds.get(name)!);
  return x.data.map((element, position) => {
    const lossAt = (value: number) =>
      scalarAt(loss, new Map(feeds).set(name, { ...x, data: x.data.with(position, value) }));
    return (lossAt(element + STEP) - lossAt(element - STEP)) / (2 * STEP);
  });
}

/** Compares the gradients of y with respect to leaves, by name, on fed values. */
function expectGradients(y: Tensor, targets: ReadonlyMap<string, Tensor>, feeds: TensorMap): void {
  const loss = weightedSum(y);
  const names = [...targets.keys()];
  const graph = graphOf(
    Object.fromEntries(gradients(loss, [...targets.values()]).map((dx, i) => [names[i]!, dx])),
  );
  checkGraph(graph);
  const values = evaluate(graph, feeds);
  for (const name of names) {
    expect(values.get(name)!.shape, name).toEqual(feeds.get(name)!.shape);
    expectClose(values.get(name)!.data, centralDifferences(loss, feeds, name), TOLERANCE);
  }
}

/** The gradient of stopGradient differs from the slope on purpose. */
const GRADIENT_CASES = OP_CASES.filter((opCase) => hasGradient(opCase) && opCase.op !== 'stopGradient');

describe('gradients agree with central differences', () => {
  it.each(GRADIENT_CASES.map((opCase) => [titleOf(opCase), opCase] as const))('%s', (_, opCase) => {
    const { inputs, y, feeds } = buildCase(opCase);
    const targets = inputs.flatMap((x, i) =>
      opCase.operands[i]!.differentiable ? [[`x${i}`, x] as const] : [],
    );
    expectGradients(y, new Map(targets), feeds);
  });

  it('every operation with a gradient has such a case', () => {
    const covered = new Set(GRADIENT_CASES.map(({ op }) => op));
    const missing = Object.entries(VJP).flatMap(([op, rule]) =>
      'reason' in rule || covered.has(op as OpName) ? [] : [op],
    );
    expect(missing).toEqual(['stopGradient']); // tested on its own below
  });

  it('every operation without a gradient says why', () => {
    const reasons = Object.entries(VJP).flatMap(([op, rule]) =>
      'reason' in rule ? [[op, rule.reason]] : [],
    );
    expect(Object.fromEntries(reasons)).toMatchInlineSnapshot(`
      {
        "constant": "a leaf has no inputs",
        "conv2dWeightGradient": "it occurs only in gradients; second derivatives of convolutions are not needed",
        "depthwiseConv2dWeightGradient": "it occurs only in gradients; second derivatives of convolutions are not needed",
        "input": "a leaf has no inputs",
        "less": "a comparison is constant almost everywhere",
        "modulatedNorm": "it is joined from others when gradients have been taken, for inference",
        "parameter": "a leaf has no inputs",
        "quantizeWeight": "rounding is constant almost everywhere; training is in float32",
        "quantizedLinear": "rounding is constant almost everywhere; training is in float32",
        "weightScales": "rounding is constant almost everywhere; training is in float32",
      }
    `);
  });

  it('a value used twice gets the sum of both', () => {
    const x = input('x', [4]);
    const feeds = new Map([['x', tensorOf('f32', [4], [0.5, -1, 2, 0.25])]]);
    expectGradients(mul(exp(x), add(x, mul(x, x))), new Map([['x', x]]), feeds);
  });
});

describe('gradients', () => {
  const valuesOf = (loss: Tensor, targets: readonly Tensor[], feeds: TensorMap = new Map()): number[][] => {
    const graph = graphOf(Object.fromEntries(gradients(loss, targets).map((dx, i) => [`dx${i}`, dx])));
    return [...evaluate(graph, feeds).values()].map(({ data }) => [...data]);
  };

  it('stopGradient passes the value and no gradient', () => {
    const x = input('x', [2]);
    const feeds = new Map([['x', tensorOf('f32', [2], [3, 5])]]);
    expect(valuesOf(sum(mul(x, stopGradient(x))), [x], feeds)).toEqual([[3, 5]]);
  });

  it('a target that has no influence gets zeros of its shape', () => {
    const [x, unused] = [input('x', [2]), parameter('unused', [2, 2])];
    expect(valuesOf(sum(x), [unused])).toEqual([[0, 0, 0, 0]]);
  });

  it('on a tie of maximum or minimum the second operand gets the gradient', () => {
    const [a, b] = [input('a', [1]), input('b', [1])];
    const feeds = new Map([
      ['a', tensorOf('f32', [1], [1])],
      ['b', tensorOf('f32', [1], [1])],
    ]);
    expect(valuesOf(sum(maximum(a, b)), [a, b], feeds)).toEqual([[0], [1]]);
    expect(valuesOf(sum(minimum(a, b)), [a, b], feeds)).toEqual([[0], [1]]);
  });

  it('on a tie of a window its first pixel gets the gradient, never the padding', () => {
    const x = input('x', [1, 2, 3, 1]);
    const feeds = new Map([['x', tensorOf('f32', [1, 2, 3, 1], [0, 7, 7, 0, 7, 0])]]);
    expect(valuesOf(sum(maxPool2d(x, { kernel: [2, 3] })), [x], feeds)).toEqual([[0, 1, 0, 0, 0, 0]]);
    const zeros = new Map([['x', tensorOf('f32', [1, 2, 3, 1], new Array(6).fill(0))]]);
    const padded = maxPool2d(x, { kernel: 2, padding: 1 });
    expect(padded.shape).toEqual([1, 2, 2, 1]);
    expect(valuesOf(sum(padded), [x], zeros)).toEqual([[1, 1, 0, 1, 1, 0]]);
  });

  it('relu has no slope at 0', () => {
    const x = input('x', [3]);
    const feeds = new Map([['x', tensorOf('f32', [3], [-1, 0, 1])]]);
    expect(valuesOf(sum(relu(x)), [x], feeds)).toEqual([[0, 0, 1]]);
  });

  it('clamp passes the gradient inside its range only', () => {
    const x = input('x', [3]);
    const feeds = new Map([['x', tensorOf('f32', [3], [-2, 0.5, 2])]]);
    expect(valuesOf(sum(clamp(x, -1, 1)), [x], feeds)).toEqual([[0, 1, 0]]);
  });

  describe('over one element are exactly zero, for the value does not depend on it', () => {
    const x = input('x', [2, 3, 1]);
    const [q, k, v] = ['q', 'k', 'v'].map((name) => input(name, [2, name === 'q' ? 3 : 1, 4]));
    const heads = { heads: 2, scale: 0.5 };
    const cases: Record<string, readonly [y: Tensor, targets: readonly Tensor[]]> = {
      softmax: [softmax(x), [x]],
      layerNorm: [layerNorm(x, 1e-6), [x]],
      inverseDeviation: [inverseDeviation(x, 1e-6), [x]],
      l2Normalize: [l2Normalize(x), [x]],
      attentionWeights: [attentionWeights(q!, k!, heads), [q!, k!]],
      attention: [attention(q!, k!, v!, heads), [q!, k!]],
    };
    it.each(Object.entries(cases))('%s', (_, [y, targets]) => {
      const feeds = new Map(
        [x, q!, k!, v!].map((leaf, i) => {
          const { name } = leaf.params as { readonly name: string };
          return [name, tensorOf('f32', leaf.shape, normal(randomKey(i), sizeOf(leaf.shape)))] as const;
        }),
      );
      for (const values of valuesOf(weightedSum(y), targets, feeds))
        expect(new Set(values)).toEqual(new Set([0]));
    });

    it('but for values, and for numbers too short to have a length', () => {
      expectGradients(
        attention(q!, k!, v!, heads),
        new Map([['v', v!]]),
        new Map(
          [q!, k!, v!].map((leaf, i) => [
            'qkv'[i]!,
            tensorOf('f32', leaf.shape, normal(randomKey(i), sizeOf(leaf.shape))),
          ]),
        ),
      );
      const short = new Map([['x', tensorOf('f32', [2, 3, 1], [0, 1e-3, -1e-3, 1, -1, 2])]]);
      expect(valuesOf(sum(l2Normalize(x, 0.5)), [x], short)).toEqual([[2, 2, 2, 0, 0, 0]]);
    });
  });

  it('a vector of zeros is normalised with a finite gradient', () => {
    const x = input('x', [1, 2]);
    const feeds = new Map([['x', tensorOf('f32', [1, 2], [0, 0])]]);
    const loss = add(sum(l2Normalize(x, 1e-3)), sum(inverseNorm(x, 1e-3)));
    expect(valuesOf(loss, [x], feeds)[0]!.map(Math.round)).toEqual([1000, 1000]);
  });

  it('rows that were taken twice add up', () => {
    const table = parameter('table', [3, 1]);
    const rows = constant(tensorOf('i64', [3], [2, 0, 2]));
    const loss = sum(mul(takeRows(table, rows), constantOf([3, 1], [1, 10, 100])));
    expect(valuesOf(loss, [table])).toEqual([[10, 0, 101]]);
  });

  it('wants a scalar', () => {
    const x = input('x', [2]);
    expect(() => gradients(x, [x])).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: gradients: the differentiated value has 1 axes, not 0
        fix: take its mean or sum first]
    `);
  });

  it('names the operation that has none', () => {
    const x = input('x', [2, 3, 3, 4]);
    const dW = depthwiseConv2dWeightGradient(x, x, 3);
    expect(() => gradients(sum(dW), [x])).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ShapeError: gradients: depthwiseConv2dWeightGradient: no gradient: it occurs only in gradients; second derivatives of convolutions are not needed]`,
    );
  });

  it('does not lose the gradient of a number in silence', () => {
    const [x, angles] = [input('x', [1, 2, 4]), input('angles', [2, 2])];
    const turned = (angle: Tensor) => sum(rotary(x, cos(angle), sin(angle), 1));
    expect(() => gradients(turned(angles), [x, angles])).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: gradients: rotary: no gradient for operand 1, which depends on a target
        fix: if this is intended, wrap it in stopGradient]
    `);
    expect(gradients(turned(stopGradient(angles)), [x])).toHaveLength(1);
  });
});
