import { describe, expect, it } from 'vitest';
import { checkGraph, graphOf, leavesOf } from './graph.ts';
import { add, exp, input, mul, parameter } from './operators.ts';
import { Tensor, withScope } from './tensor.ts';
import { countUses, topologicalOrder } from './traverse.ts';

describe('checkGraph', () => {
  it('accepts what the operators made', () => {
    checkGraph(graphOf({ y: mul(exp(input('x', [2, 1])), parameter('gain', [3])) }));
  });

  it('finds a node whose shape is not what its rule makes', () => {
    const wrong = withScope('blocks.0.mlp', () => new Tensor('exp', [input('x', [2])], {}, [3], 'f32'));
    expect(() => checkGraph(graphOf({ wrong }))).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ShapeError: checkGraph: exp (blocks.0.mlp): carries f32[3], its rule makes f32[2]]`,
    );
  });

  it('finds a node whose dtype is not what its rule makes', () => {
    const wrong = new Tensor('exp', [input('x', [2])], {}, [2], 'f64');
    expect(() => checkGraph(graphOf({ wrong }))).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ShapeError: checkGraph: exp (top level): carries f64[2], its rule makes f32[2]]`,
    );
  });

  it('finds two leaves of one name', () => {
    const y = add(input('x', [2]), parameter('x', [2]));
    expect(() => checkGraph(graphOf({ y }))).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ShapeError: checkGraph: parameter (top level): two leaves are named x]`,
    );
  });

  it('finds a node made before its input', () => {
    const user = exp(input('x', [2]));
    (user.inputs as Tensor[])[0] = input('late', [2]);
    expect(() => checkGraph(graphOf({ user }))).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ShapeError: checkGraph: exp (top level): an input was made after its user]`,
    );
  });
});

describe('walking a graph', () => {
  const x = input('x', [2]);
  const gain = parameter('gain', [2]);
  const scaled = mul(x, gain);
  const y = add(scaled, scaled);
  exp(y); // made but not asked for

  it('visits every needed node once, inputs before users', () => {
    expect(topologicalOrder([y, scaled])).toEqual([x, gain, scaled, y]);
  });

  it('lists leaves by kind, in order of creation', () => {
    const graph = graphOf({ y });
    expect(leavesOf(graph, 'input').map(({ params }) => params.name)).toEqual(['x']);
    expect(leavesOf(graph, 'parameter').map(({ params }) => params.name)).toEqual(['gain']);
  });

  it('counts every reading of a node, outputs included', () => {
    const uses = countUses([x, gain, scaled, y], [y, scaled]);
    expect([x, gain, scaled, y].map((tensor) => uses.get(tensor))).toEqual([1, 1, 3, 1]);
  });
});
