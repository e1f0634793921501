import { describe, expect, it } from 'vitest';
import { countOps, drawFeeds, expectSameValues } from '../../../test/support/graph-values.ts';
import { buildCase, hasGradient, OP_CASES, titleOf, weightedSum } from '../../../test/support/op-cases.ts';
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import { evaluate } from '../interp/evaluate.ts';
import { checkGraph, type Graph, graphOf } from './graph.ts';
import * as ops from './operators.ts';
import { formatGraph } from './print.ts';
import {
  addAll,
  dropNeutral,
  joinChunks,
  reuseParts,
  shareCommon,
  shareStatistics,
  simplify,
  splitFoldable,
} from './rewrite.ts';
import type { Tensor } from './tensor.ts';
import { gradients } from './vjp.ts';

/** A small transformer block with every fused operation, and its gradients. */
function blockWithGradients(): Graph {
  const x = ops.input('x', [2, 4, 8]);
  const qkvWeight = ops.parameter('qkv.weight', [24, 8]);
  const mlpWeight = ops.parameter('mlp.weight', [8, 8]);
  const [q, k, v] = ops.chunk(ops.linear(ops.layerNorm(x, 1e-6), qkvWeight), 3, -1);
  const mixed = ops.attention(ops.l2Normalize(q!), ops.l2Normalize(k!), v!, { heads: 2, scale: 0.5 });
  const y = ops.add(x, ops.gelu(ops.linear(ops.add(x, mixed), mlpWeight), 'tanh'));
  const loss = ops.mean(ops.square(y));
  const [dQkv, dMlp] = gradients(loss, [qkvWeight, mlpWeight]);
  return graphOf({ loss, dQkv: dQkv!, dMlp: dMlp! });
}

describe('reuseParts', () => {
  const [a, b, c] = [ops.input('a', [2, 3]), ops.input('b', [2, 3]), ops.input('c', [2, 3])];
  const joined = ops.concat([a, b, c], 0);
  const simplified = (y: Tensor) => {
    const graph = graphOf({ y });
    const rewritten = reuseParts(graph);
    expectSameValues(graph, rewritten, drawFeeds(graph));
    return rewritten.get('y')!;
  };

  it('finds what was concatenated', () => {
    expect(simplified(ops.slice(joined, 0, 2, 4))).toBe(b);
    expect(simplified(ops.slice(joined, 0, 4, 6))).toBe(c);
  });

  it.each([
    ['at other bounds', 0, 1, 3],
    ['of two parts', 0, 0, 4],
    ['along another axis', 1, 0, 2],
  ])('keeps a slice %s', (_, axis, start, end) => {
    expect(simplified(ops.slice(joined, axis, start, end))).toMatchObject({ op: 'slice', inputs: [joined] });
  });
});

describe('simplify', () => {
  it.each(OP_CASES.filter(hasGradient).map((opCase) => [titleOf(opCase), opCase] as const))(
    'keeps value and gradients of %s',
    (_, opCase) => {
      const { inputs, y, feeds } = buildCase(opCase);
      const targets = inputs.filter((_, i) => opCase.operands[i]!.differentiable);
      const named = gradients(weightedSum(y), targets).map((dx, i) => [`dx${i}`, dx] as const);
      const graph = graphOf({ y, ...Object.fromEntries(named) });
      expectSameValues(graph, simplify(graph), feeds);
    },
  );

  it('keeps the values of a whole block and computes nothing twice', () => {
    const graph = blockWithGradients();
    const simplified = simplify(graph);
    expectSameValues(graph, simplified, drawFeeds(graph));
    expect(formatGraph(shareCommon(simplified))).toBe(formatGraph(simplified));
  });

  it('leaves a simplified graph as it is', () => {
    const once = simplify(blockWithGradients());
    expect(formatGraph(simplify(once))).toBe(formatGraph(once));
  });
});

describe('shareCommon', () => {
  it('makes equal expressions one node, equal constants included', () => {
    const x = ops.input('x', [2]);
    const y = ops.add(ops.mul(ops.exp(x), 2), ops.mul(ops.exp(x), 2));
    expect(formatGraph(shareCommon(graphOf({ y })))).toMatchInlineSnapshot(`
      "a:f32[2] = input x
      b:f32[2] = exp a
      c:f32[2] = mul b 2
      d:f32[2] = add c c
      return y=d"
    `);
  });

  it('keeps apart what differs in a parameter or in the order of operands', () => {
    const [x, y] = [ops.input('x', [2, 2]), ops.input('y', [2, 2])];
    const graph = graphOf({
      exact: ops.gelu(x, 'none'),
      tanh: ops.gelu(x, 'tanh'),
      forwards: ops.sub(x, y),
      backwards: ops.sub(y, x),
      doubled: ops.mul(x, 2),
      tripled: ops.mul(x, 3),
    });
    for (const [name, tensor] of shareCommon(graph)) expect(tensor, name).toBe(graph.get(name));
  });
});

describe('dropNeutral', () => {
  it.each(
    Object.entries({
      'x · 1': (x: Tensor) => ops.mul(x, 1),
      '1 · x': (x: Tensor) => ops.mul(1, x),
      'x + 0': (x: Tensor) => ops.add(x, 0),
      '0 + x': (x: Tensor) => ops.add(0, x),
      'x − 0': (x: Tensor) => ops.sub(x, 0),
      'x + zerosLike(x)': (x: Tensor) => ops.add(x, ops.zerosLike(x)),
      'stopGradient(x)': (x: Tensor) => ops.stopGradient(x),
    }),
  )('%s is x', (_, build) => {
    const x = ops.input('x', [2]);
    expect(dropNeutral(graphOf({ y: build(x) })).get('y')).toBe(x);
  });

  it('keeps the stretching of a neutral operand', () => {
    const x = ops.input('x', [3]);
    const graph = graphOf({ y: ops.add(x, ops.constantOf([2, 1], [0, 0])) });
    expect(formatGraph(dropNeutral(graph))).toMatchInlineSnapshot(`
      "a:f32[3] = input x
      b:f32[2,3] = broadcastTo{shape=[2,3]} a
      return y=b"
    `);
    expectSameValues(graph, dropNeutral(graph), drawFeeds(graph));
  });

  it('keeps 0 − x', () => {
    const graph = graphOf({ y: ops.sub(0, ops.input('x', [2])) });
    expectSameValues(graph, dropNeutral(graph), drawFeeds(graph));
  });
});

describe('shareStatistics', () => {
  it('computes forward values from the statistics that a gradient asks for', () => {
    const shared = shareStatistics(blockWithGradients());
    const counts = (
      ['attention', 'attentionWeights', 'softmax', 'l2Normalize', 'inverseNorm', 'gelu', 'geluGate'] as const
    ).map((op) => [op, countOps(shared, op)]);
    expect(Object.fromEntries(counts)).toEqual({
      attention: 0,
      attentionWeights: 0,
      softmax: 1,
      l2Normalize: 0,
      inverseNorm: 2,
      gelu: 1,
      geluGate: 1,
    });
  });

  it('leaves fused operations alone where nothing else asks', () => {
    const x = ops.input('x', [2, 4]);
    const graph = graphOf({ y: ops.gelu(ops.l2Normalize(x), 'none') });
    expect(formatGraph(shareStatistics(graph))).toBe(formatGraph(graph));
  });
});

describe('joinChunks', () => {
  it('makes the gradients of chunks one concatenation, whatever their order', () => {
    const x = ops.input('x', [2, 6]);
    const [a, b, c] = ops.chunk(x, 3, 1);
    const loss = ops.sum(ops.mul(ops.mul(c!, ops.exp(a!)), ops.sin(b!)));
    const graph = graphOf({ dx: gradients(loss, [x])[0]! });
    const joined = joinChunks(graph);
    expect([countOps(joined, 'pad'), countOps(joined, 'concat')]).toEqual([0, 1]);
    expectSameValues(graph, joined, drawFeeds(graph));
  });

  it.each(
    Object.entries({
      'a gap': [
        ops.pad(ops.input('a', [1, 2]), [0, 0], [0, 3]),
        ops.pad(ops.input('b', [1, 2]), [0, 3], [0, 0]),
      ],
      overlap: [
        ops.pad(ops.input('a', [1, 3]), [0, 0], [0, 2]),
        ops.pad(ops.input('b', [1, 3]), [0, 2], [0, 0]),
      ],
      'two axes': [
        ops.pad(ops.input('a', [1, 2]), [0, 0], [1, 3]),
        ops.pad(ops.input('b', [2, 3]), [0, 2], [0, 0]),
      ],
      'another term': [ops.pad(ops.input('a', [1, 2]), [0, 0], [0, 3]), ops.input('b', [1, 5])],
    } satisfies Record<string, [Tensor, Tensor]>),
  )('keeps a sum with %s', (_, [a, b]) => {
    const graph = graphOf({ y: ops.add(a, b) });
    expect(joinChunks(graph).get('y')).toBe(graph.get('y'));
  });
});

describe('splitFoldable', () => {
  /** Two branches merged into one filter, an embedding of known rows, a mask, and a known output. */
  function mergedBranches(): Graph {
    const x = ops.input('x', [1, 3, 3, 2]);
    const [wide, narrow] = [ops.parameter('wide', [2, 1, 3, 3]), ops.parameter('narrow', [2, 1, 1, 1])];
    const merged = ops.add(wide, ops.pad(narrow, [0, 0, 1, 1], [0, 0, 1, 1]));
    const gain = ops.parameter('gain', [2]);
    const y = ops.where(ops.less(gain, 0), ops.depthwiseConv2d(x, merged), ops.mul(x, gain));
    return graphOf({ y, gainSquared: ops.square(gain), filterSum: ops.sum(merged) });
  }

  it('gives the same values in two steps', () => {
    const graph = mergedBranches();
    const feeds = drawFeeds(graph);
    const { folded, rest } = splitFoldable(graph);
    const values = evaluate(folded, feeds);
    const parameters = new Map<string, HostTensor>(feeds);
    for (const [name, { shape, data }] of values) parameters.set(name, hostTensor('f64', shape, data));
    expectSameValues(graph, rest, parameters);
  });

  it('leaves nothing in the rest that parameters decide, masks apart', () => {
    const { folded, rest } = splitFoldable(mergedBranches());
    checkGraph(folded);
    expect(formatGraph(folded)).toMatchInlineSnapshot(`
      "a:f32[2,1,3,3] = parameter wide
      b:f32[2,1,1,1] = parameter narrow
      c:f32[2,1,3,3] = pad{before=[0,0,1,1] after=[0,0,1,1]} b
      d:f32[2,1,3,3] = add a c
      return folded.0=d"
    `);
    expect(formatGraph(graphOf({ y: rest.get('y')! }))).toMatchInlineSnapshot(`
      "a:f32[1,3,3,2] = input x
      b:f32[2] = parameter gain
      c:f32[2,1,3,3] = parameter folded.0
      d:bool[2] = less b 0
      e:f32[1,3,3,2] = mul a b
      f:f32[1,3,3,2] = depthwiseConv2d a c
      g:f32[1,3,3,2] = where d f e
      return y=g"
    `);
  });

  it('changes nothing where nothing can be folded', () => {
    const graph = graphOf({ y: ops.mul(ops.input('x', [2]), ops.parameter('gain', [2])) });
    const { folded, rest } = splitFoldable(graph);
    expect(folded.size).toBe(0);
    expect(rest.get('y')).toBe(graph.get('y'));
  });
});

describe('addAll', () => {
  it('sums as a tree of logarithmic depth', () => {
    const terms = [1, 2, 3, 4, 5].map((value) => ops.constantOf([1], [value]));
    const y = addAll(terms);
    expect(evaluate(graphOf({ y }), new Map()).get('y')!.data[0]).toBe(15);
    const depth = (tensor: typeof y): number => 1 + Math.max(0, ...tensor.inputs.map(depth));
    expect(depth(y) - 1).toBe(3);
  });
});
