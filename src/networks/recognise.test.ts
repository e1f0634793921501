import { describe, expect, test } from 'vitest';
import type { Shape } from '../core/shape.ts';
import { PRESETS, presetSpec } from './presets.ts';
import { recogniseModel } from './recognise.ts';
import { createModel, type ModelSpec } from './registry.ts';

const tensorsOf = (spec: ModelSpec): Map<string, { shape: Shape }> =>
  new Map([...createModel(spec).parameters()].map(({ name, shape }) => [name, { shape }]));

test.each(Object.entries(PRESETS))('%s', (name, spec) => {
  const recognised = recogniseModel(tensorsOf(spec));
  // SiT has DiT's tensors; some sizes are published for one of them only.
  const ofDiT = name.replace(/^SiT/, 'DiT');
  const expected = Object.hasOwn(PRESETS, ofDiT) ? ofDiT : name;
  expect(recognised?.name).toBe(expected);
  expect(recognised?.spec).toEqual(PRESETS[expected]);
  expect([...tensorsOf(recognised!.spec)]).toEqual([...tensorsOf(spec)]);
});

test('a SiT without channels for a variance has none to discard', () => {
  const spec = presetSpec('SiT-LLaMA-S/2', { discardSigma: false });
  expect(recogniseModel(tensorsOf(spec))).toMatchObject({ name: 'SiT-LLaMA-S/2', spec });
});

test('a preset for other data is still that preset', () => {
  for (const [name, changes] of [
    ['U-DiT-S', { numClasses: 10, inChannels: 3, learnSigma: false }],
    ['DiT-S/4', { numClasses: 10, inputSize: 64 }],
  ] as const) {
    const spec = presetSpec(name, changes);
    expect(recogniseModel(tensorsOf(spec))).toMatchObject({ name, spec });
  }
});

describe('options of U-DiT that show in its tensors', () => {
  test.each([
    { ffn: 'dwconv' },
    { ffn: 'basic', mlpRatio: 3 },
    { attention: 'dot', position: 'none' },
    { downsampler: 'dwconv3' },
    { tokens: 'kv' },
    { depth: [1, 2, 3, 1, 2] },
  ] as const)('%o', (changes) => {
    const small = { width: 48, heads: 2, depth: [1, 1, 1, 1, 1] };
    const spec = presetSpec('U-DiT-S', { ...small, ...changes });
    const { name, spec: recognised, assumed } = recogniseModel(tensorsOf(spec))!;
    expect([name, recognised]).toEqual(['U-DiT', spec]);
    expect(assumed).toMatchObject({ inputSize: 32, downFactor: 2, downShortcut: true });
  });
});

test('attention without a downsampler is taken to be full', () => {
  for (const downsampler of ['pixel-shuffle', 'dwconv5'] as const) {
    const spec = presetSpec('U-DiT-S', { depth: [1, 1, 1, 1, 1], tokens: 'none', downsampler });
    const { spec: recognised, assumed } = recogniseModel(tensorsOf(spec))!;
    expect([...tensorsOf(recognised)]).toEqual([...tensorsOf(spec)]);
    expect(assumed).toMatchObject({ tokens: 'none' });
  }
});

test('the heads of a DiT are those of the preset with its width, or 64 channels each', () => {
  const deeper = recogniseModel(tensorsOf(presetSpec('DiT-XL/2', { depth: 2 })))!;
  expect(deeper).toMatchObject({ name: 'DiT', assumed: { heads: 16 } });
  const narrow = recogniseModel(tensorsOf(presetSpec('DiT-S/2', { width: 128, heads: 2, depth: 1 })))!;
  expect(narrow).toMatchObject({ name: 'DiT', assumed: { heads: 2 } });
});

test('what is no model', () => {
  expect(recogniseModel(new Map())).toBeUndefined();
  for (const name of ['U-DiT-XS', 'DiT-S/8']) {
    for (const missing of ['x_embedder.proj.weight', 'embedding_table.weight', 'final_layer']) {
      const tensors = [...tensorsOf(PRESETS[name]!)].filter(([key]) => !key.includes(missing));
      expect(recogniseModel(new Map(tensors))).toBeUndefined();
    }
  }
});
