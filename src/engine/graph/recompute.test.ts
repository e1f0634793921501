import { expect, test } from 'vitest';
import { countOps, drawFeeds, expectSameValues } from '../../../test/support/graph-values.ts';
import { graphOf } from './graph.ts';
import { peakLiveBytes } from './liveness.ts';
import { add, exp, input, linear, mul, parameter, sin, sum } from './operators.ts';
import { simplify } from './rewrite.ts';
import { type Tensor, withScope } from './tensor.ts';
import { gradients } from './vjp.ts';

const BLOCKS = 6;

/** Blocks of two products each, whose weights are computed of others. */
function chain(isRecomputed: (scope: string) => boolean) {
  const x = input('x', [50, 4]);
  const weights = Array.from({ length: BLOCKS }, (_, i) => parameter(`w${i}`, [4, 4]));
  const y = weights.reduce<Tensor>(
    (h, weight, i) =>
      withScope(`block.${i}`, () => add(h, sin(linear(exp(mul(sin(linear(h, sin(weight))), 0.1)), weight)))),
    x,
  );
  const segmentOf = ({ scope }: Tensor) => (isRecomputed(scope) ? scope : undefined);
  const [dx, ...dWeights] = gradients(sum(mul(y, y)), [x, ...weights], { segmentOf });
  return graphOf({ y, dx: dx!, ...Object.fromEntries(dWeights.map((dw, i) => [`dw${i}`, dw])) });
}

const kept = chain(() => false);
const again = chain((scope) => scope !== '');

test('gradients have the same values, also after simplification', () => {
  const feeds = drawFeeds(kept);
  expectSameValues(kept, again, feeds);
  expectSameValues(kept, simplify(again), feeds);
});

test('inner values are computed twice, those of parameters alone once; simplification leaves it so', () => {
  for (const [graph, recomputed] of [
    [kept, simplify(kept)],
    [again, simplify(again)],
  ] as const) {
    expect(countOps(recomputed, 'exp')).toBe(countOps(graph, 'exp'));
  }
  // One exp per block in the forward pass, which its own gradient reads.
  expect([countOps(kept, 'exp'), countOps(again, 'exp')]).toEqual([BLOCKS, 2 * BLOCKS]);
  const weightsOnly = (graph: typeof kept) => countOps(graph, 'cos') - countOps(kept, 'cos');
  expect(weightsOnly(again)).toBe(0);
});

test('only what goes into a segment is kept until its gradients', () => {
  expect(peakLiveBytes(again)).toBeLessThan(0.5 * peakLiveBytes(kept));
});

test('segments may be some of all', () => {
  const first = chain((scope) => scope === 'block.0');
  expect(countOps(first, 'exp')).toBe(BLOCKS + 1);
  expectSameValues(kept, first, drawFeeds(kept));
});
