import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/closeness.ts';
import { type HostTensor, tensorOf } from '../../core/host-tensor.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { input } from '../../engine/graph/operators.ts';
import type { Tensor } from '../../engine/graph/tensor.ts';
import { evaluate } from '../../engine/interp/evaluate.ts';
import {
  adaLNModulation,
  adaptiveNorm,
  gatedResidual,
  LabelEmbedder,
  TimestepEmbedder,
  timestepEmbedding,
} from './conditioning.ts';

function valuesOf(y: Tensor, feeds: Readonly<Record<string, HostTensor>>): number[] {
  return Array.from(evaluate(graphOf({ y }), new Map(Object.entries(feeds))).get('y')!.data);
}

describe('timestepEmbedding', () => {
  test('is [cos | sin] of t · 10000^(−i / half)', () => {
    const values = valuesOf(timestepEmbedding(input('t', [2]), 6), { t: tensorOf('f32', [2], [0, 7]) });
    const angles = [0, 1, 2].map((i) => 7 * 10_000 ** (-i / 3));
    expectClose(values.slice(0, 6), [1, 1, 1, 0, 0, 0], { relative: 0 });
    expectClose(values.slice(6), [...angles.map(Math.cos), ...angles.map(Math.sin)], { relative: 1e-6 });
  });

  test('ends in a zero where the width is odd', () => {
    const values = valuesOf(timestepEmbedding(input('t', [1]), 5), { t: tensorOf('f32', [1], [3]) });
    expect(values).toHaveLength(5);
    expect(values.slice(0, -1)).not.toContain(0);
    expect(values.at(-1)).toBe(0);
  });
});

describe('LabelEmbedder', () => {
  const rows = tensorOf('f32', [4, 2], [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]);
  const y = tensorOf('i64', [3], [2, 0, 3]);

  test('looks classes up; the last row is the null label', () => {
    const embedder = new LabelEmbedder(3, 2, { hasNullLabel: true }).bind('y');
    const values = valuesOf(embedder.apply(input('y', [3], 'i64')), { y, 'y.embedding_table.weight': rows });
    expect(values).toEqual([2, 2.5, 0, 0.5, 3, 3.5]);
  });

  test('replaces dropped classes by the null label', () => {
    const embedder = new LabelEmbedder(3, 2, { hasNullLabel: true }).bind('y');
    const dropped = tensorOf('bool', [3], [0, 1, 0]);
    const embedded = embedder.apply(input('y', [3], 'i64'), input('dropped', [3], 'bool'));
    expect(valuesOf(embedded, { y, dropped, 'y.embedding_table.weight': rows })).toEqual([
      2, 2.5, 3, 3.5, 3, 3.5,
    ]);
  });

  test('has no row for a null label without class dropout', () => {
    const shapes = [true, false].map((hasNullLabel) =>
      [...new LabelEmbedder(3, 2, { hasNullLabel }).parameters()].map(({ shape }) => shape),
    );
    expect(shapes).toEqual([[[4, 2]], [[3, 2]]]);
  });
});

test('TimestepEmbedder has the keys of the reference, where the activation takes number 1', () => {
  const embedder = new TimestepEmbedder(8).bind('t_embedder');
  expect([...embedder.parameters()].map(({ name, shape }) => [name, shape])).toEqual([
    ['t_embedder.mlp.0.weight', [8, 256]],
    ['t_embedder.mlp.0.bias', [8]],
    ['t_embedder.mlp.2.weight', [8, 8]],
    ['t_embedder.mlp.2.bias', [8]],
  ]);
});

test('adaLNModulation is one linear layer after SiLU', () => {
  const modulation = adaLNModulation(2, 3).bind('m');
  expect([...modulation.parameters()].map(({ name, shape }) => [name, shape])).toEqual([
    ['m.1.weight', [6, 2]],
    ['m.1.bias', [6]],
  ]);
});

describe('modulation', () => {
  const x = tensorOf('f32', [2, 2, 4], [1, 2, 3, 4, -1, 1, -1, 1, 0, 0, 0, 8, 5, 5, 5, 5]);

  test('normalises each token, then scales and shifts each sample by its own', () => {
    const shift = tensorOf('f32', [2, 4], [0, 0, 0, 1, 10, 10, 10, 10]);
    const scale = tensorOf('f32', [2, 4], [0, 0, 0, 1, 0, 0, 0, 0]);
    const y = adaptiveNorm(input('x', [2, 2, 4]), {
      shift: input('shift', [2, 4]),
      scale: input('scale', [2, 4]),
    });
    const [a, b] = [1.5 / Math.sqrt(1.25), 0.5 / Math.sqrt(1.25)];
    const c = 2 / Math.sqrt(12);
    const expected = [-a, -b, b, 2 * a + 1, -1, 1, -1, 3, 10 - c, 10 - c, 10 - c, 10 + 3 * c, 10, 10, 10, 10];
    expectClose(valuesOf(y, { x, shift, scale }), expected, { relative: 1e-5 });
  });

  test('a gate of 0 leaves only the residual', () => {
    const gate = tensorOf('f32', [2, 4], [0, 0, 0, 0, 1, 2, 3, 4]);
    const branch = tensorOf('f32', [2, 2, 4], new Array(16).fill(1));
    const y = gatedResidual(input('x', [2, 2, 4]), input('branch', [2, 2, 4]), input('gate', [2, 4]));
    const expected = [...x.data.subarray(0, 8), 1, 2, 3, 12, 6, 7, 8, 9];
    expect(valuesOf(y, { x, branch, gate })).toEqual(expected);
  });
});
