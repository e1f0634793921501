import { describe, expect, test } from 'vitest';
import { tensorOf } from '../../core/host-tensor.ts';
import { normal, randomKey } from '../../core/random.ts';
import { evaluate } from '../interp/evaluate.ts';
import { graphOf } from './graph.ts';
import * as ops from './operators.ts';
import { formatGraph } from './print.ts';
import { quantizeLinears } from './quantize.ts';
import { splitFoldable } from './rewrite.ts';
import { withScope } from './tensor.ts';

const x = ops.input('x', [2, 5, 8]);
const weight = ops.parameter('weight', [6, 8]);
const bias = ops.parameter('bias', [6]);
const feeds = new Map([
  ['x', tensorOf('f32', [2, 5, 8], normal(randomKey(0), 80))],
  ['weight', tensorOf('f32', [6, 8], normal(randomKey(1), 48))],
  ['bias', tensorOf('f32', [6], normal(randomKey(2), 6))],
]);
const everyone = () => true;

test('weights are rounded before a run, and parts of a map share its quantised input', () => {
  const parts = ops.chunk(ops.linear(x, weight, bias), 2, -1);
  const quantised = quantizeLinears(graphOf({ product: ops.mul(parts[0]!, parts[1]!) }), everyone);
  const { folded, rest } = splitFoldable(quantised);
  expect([...folded.values()].map(({ op, dtype }) => `${op} ${dtype}`)).toMatchInlineSnapshot(`
    [
      "quantizeWeight i8",
      "weightScales f32",
      "slice f32",
      "quantizeWeight i8",
      "weightScales f32",
      "slice f32",
    ]
  `);
  expect(formatGraph(rest)).toMatchInlineSnapshot(`
    "a:f32[2,5,8] = input x
    b:i8[8,3] = parameter folded.0
    c:f32[3] = parameter folded.1
    d:f32[3] = parameter folded.2
    e:i8[8,3] = parameter folded.3
    f:f32[3] = parameter folded.4
    g:f32[3] = parameter folded.5
    h:f32[2,5,3] = quantizedLinear a b c d
    i:f32[2,5,3] = quantizedLinear a e f g
    j:f32[2,5,3] = mul h i
    return product=j"
  `);
});

test('the error is that of rounding: below a step of the weights and of the activations', () => {
  const graph = graphOf({ y: ops.linear(x, weight, bias) });
  const exact = evaluate(graph, feeds).get('y')!.data;
  const rounded = evaluate(quantizeLinears(graph, everyone), feeds).get('y')!.data;
  const distance = Math.sqrt(rounded.reduce((sum, value, i) => sum + (value - exact[i]!) ** 2, 0));
  const relative = distance / Math.sqrt(exact.reduce((sum, value) => sum + value ** 2, 0));
  expect(relative).toBeGreaterThan(1e-3);
  expect(relative).toBeLessThan(2e-2);
});

describe('maps that stay as they are', () => {
  const opsOf = (graph: ReturnType<typeof graphOf>) => [...graph.values()].map(({ op }) => op);

  test('those of single vectors', () => {
    const vectors = ops.linear(ops.input('c', [2, 8]), weight, bias);
    expect(opsOf(quantizeLinears(graphOf({ vectors }), everyone))).toEqual(['linear']);
  });

  test('those that are not chosen', () => {
    const [inner, last] = ['blocks.0', 'final'].map((scope) => withScope(scope, () => ops.linear(x, weight)));
    const quantised = quantizeLinears(
      graphOf({ inner: inner!, last: last! }),
      ({ scope }) => scope !== 'final',
    );
    expect(opsOf(quantised)).toEqual(['quantizedLinear', 'linear']);
  });
});
