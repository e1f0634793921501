import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { tensorOf } from '../../core/host-tensor.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input } from '../../engine/graph/operators.ts';
import { topologicalOrder } from '../../engine/graph/traverse.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import { traceNetwork } from '../trace.ts';
import { type DiTConfig, FULL_ATTENTION } from './dit.ts';
import { DiTLlama } from './dit-llama.ts';

/** As the reference that the list of keys was recorded from. */
const TINY: DiTConfig = {
  inputSize: 16,
  inChannels: 4,
  numClasses: 10,
  learnSigma: true,
  classDropoutProb: 0.1,
  patchSize: 2,
  width: 48,
  depth: 2,
  heads: 3,
  mlpRatio: 4,
  discardSigma: false,
  ...FULL_ATTENTION,
};

test('has the parameters of the official checkpoint, in its order', () => {
  const golden = new URL('../../../test/golden/keys/dit-llama-tiny.json', import.meta.url);
  const parameters = [...new DiTLlama(TINY).parameters()];
  expect(parameters.map(({ name, shape }) => [name, shape])).toEqual(
    JSON.parse(readFileSync(golden, 'utf8')),
  );
  expect(parameters.filter(({ frozen }) => frozen).map(({ name }) => name)).toEqual(['pos_embed']);
});

test.each([
  // Those of the published sizes S, B, L and XL.
  [384, 6, 1024],
  [768, 12, 2048],
  [1024, 16, 2816],
  [1152, 16, 3072],
])('at width %d the gated network has %2$d hidden channels', (width, heads, hidden) => {
  const shapes = new Map(
    [...new DiTLlama({ ...TINY, width, heads }).parameters()].map(({ name, shape }) => [name, shape]),
  );
  expect(shapes.get('blocks.0.mlp.c_fc1.weight')).toEqual([hidden, width]);
  expect(shapes.get('blocks.0.mlp.c_fc2.weight')).toEqual([hidden, width]);
  expect(shapes.get('blocks.0.mlp.c_proj.weight')).toEqual([width, hidden]);
});

test('one branch of the feed-forward network gates the other', () => {
  const model = new DiTLlama({ ...TINY, width: 4, heads: 1, depth: 1 });
  const hidden = 256;
  const only = (shape: readonly number[], entries: Readonly<Record<number, number>>) =>
    tensorOf(
      'f32',
      shape,
      Array.from({ length: shape[0]! * shape[1]! }, (_, i) => entries[i] ?? 0),
    );
  // Hidden channel 0 is silu(2·x₀) · 3·x₁, and comes out five times in channel 2.
  const feeds = new Map([
    ['x', tensorOf('f32', [1, 1, 4], [0.5, -1, 0, 0])],
    ['blocks.0.mlp.c_fc1.weight', only([hidden, 4], { 0: 2 })],
    ['blocks.0.mlp.c_fc2.weight', only([hidden, 4], { 1: 3 })],
    ['blocks.0.mlp.c_proj.weight', only([4, hidden], { [2 * hidden]: 5 })],
  ]);
  const y = model.blocks[0]!.mlp.apply(input('x', [1, 1, 4]));
  const silu = 1 / (1 + Math.exp(-1));
  const [first, second, third] = evaluate(graphOf({ y }), feeds).get('y')!.data;
  expect([first, second]).toEqual([0, 0]);
  expect(third).toBeCloseTo(silu * 3 * -1 * 5, 6);
});

test('tokens learn where they are from rotations alone', () => {
  const nodes = topologicalOrder([traceNetwork(new DiTLlama(TINY)).outputs.prediction]);
  // Queries and keys of two blocks.
  expect(nodes.filter(({ op }) => op === 'rotary')).toHaveLength(4);
  expect(
    nodes.some(({ op, params }) => op === 'parameter' && 'name' in params && params.name === 'pos_embed'),
  ).toBe(false);
});

describe('errors', () => {
  test('a head that cannot be rotated', () => {
    expect(() => new DiTLlama({ ...TINY, heads: 8 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: DiT-LLaMA: width 48 with 8 heads gives 6 channels per head; rotary positions need a multiple of 4
        fix: use a width that is a multiple of 32, such as 64]
    `);
  });
  test('heads', () => {
    expect(() => new DiTLlama({ ...TINY, heads: 5 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: DiT-LLaMA: 5 heads do not divide width 48
        fix: use a width that is a multiple of 20, such as 60]
    `);
  });
});
