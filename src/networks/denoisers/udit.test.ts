import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { input } from '../../engine/graph/operators.ts';
import { topologicalOrder } from '../../engine/graph/traverse.ts';
import { presetSpec } from '../presets.ts';
import { createModel } from '../registry.ts';
import { UDiT, type UDiTConfig } from './udit.ts';

const TINY: UDiTConfig = {
  inputSize: 16,
  inChannels: 4,
  numClasses: 3,
  learnSigma: true,
  classDropoutProb: 0.1,
  width: 16,
  heads: 2,
  depth: [1, 1, 1, 1, 1],
  mlpRatio: 2,
  tokens: 'qkv',
  downFactor: 2,
  downsampler: 'dwconv5',
  downShortcut: true,
  attention: 'cosine',
  position: 'rope2d',
  ffn: 'rep',
};

const condition = (count: number) => ({ t: input('t', [count]), y: input('y', [count], 'i64') });

test('U-DiT-S has the parameters of the official checkpoint, in its order', () => {
  const golden = new URL('../../../test/golden/keys/udit-s.json', import.meta.url);
  const parameters = [...createModel(presetSpec('U-DiT-S')).parameters()];
  expect(parameters.map(({ name, shape }) => [name, shape])).toEqual(
    JSON.parse(readFileSync(golden, 'utf8')),
  );
});

describe('options decide which parameters there are', () => {
  const namesOf = (change: Partial<UDiTConfig>) =>
    [...new UDiT({ ...TINY, ...change }).parameters()].map(({ name }) => name);
  const block = 'encoder_level_1.0';

  test('only cosine attention has a temperature', () => {
    expect(namesOf({ attention: 'cosine' })).toContain(`${block}.attn1.logit_scale`);
    expect(namesOf({ attention: 'dot' })).not.toContain(`${block}.attn1.logit_scale`);
  });

  test('each FFN has its own layers', () => {
    const layersOf = (ffn: UDiTConfig['ffn']) =>
      namesOf({ ffn })
        .filter((name) => name.startsWith(`${block}.mlp1.`) && name.endsWith('.weight'))
        .map((name) => name.slice(`${block}.mlp1.`.length, -'.weight'.length));
    expect(layersOf('basic')).toEqual(['fc1', 'fc2']);
    expect(layersOf('dwconv')).toEqual(['project_in', 'dwconv', 'project_out']);
    expect(layersOf('rep')).toEqual([
      'project_in.0',
      'project_in.1',
      'dwconv.0',
      'dwconv.1',
      'dwconv.2',
      'project_out.0',
      'project_out.1',
    ]);
  });

  test('what is not downsampled has no downsampler; that of keys and values has the channels of both', () => {
    const shapeOf = (change: Partial<UDiTConfig>) =>
      [...new UDiT({ ...TINY, ...change }).parameters()].find(
        ({ name }) => name === `${block}.attn1.downsampler.layer.weight`,
      )?.shape;
    expect(shapeOf({})).toEqual([16, 1, 5, 5]);
    expect(shapeOf({ tokens: 'kv' })).toEqual([32, 1, 5, 5]);
    expect(shapeOf({ tokens: 'none' })).toBeUndefined();
    expect(shapeOf({ downsampler: 'pixel-shuffle' })).toBeUndefined();
  });

  test('a level has as many blocks as its depth says', () => {
    const names = namesOf({ depth: [1, 2, 3, 1, 2] });
    const blocksOf = (level: string) =>
      new Set(names.filter((name) => name.startsWith(`${level}.`)).map((name) => name.split('.')[1])).size;
    const levels = ['encoder_level_1', 'encoder_level_2', 'latent', 'decoder_level_2', 'decoder_level_1'];
    expect(levels.map(blocksOf)).toEqual([1, 2, 3, 1, 2]);
  });
});

describe('forward', () => {
  test('gives twice the channels where variances are learned', () => {
    const shapeOf = (learnSigma: boolean) =>
      new UDiT({ ...TINY, learnSigma }).apply(input('x', [2, 4, 16, 16]), condition(2)).shape;
    expect([shapeOf(true), shapeOf(false)]).toEqual([
      [2, 8, 16, 16],
      [2, 4, 16, 16],
    ]);
  });

  test('computes fewer convolutions in merged form', () => {
    const model = new UDiT(TINY);
    const depthwiseIn = (form: 'merged' | 'branches') => {
      const out = model.apply(input('x', [1, 4, 16, 16]), condition(1), { form });
      return topologicalOrder([out]).filter(({ op }) => op === 'depthwiseConv2d').length;
    };
    // Per attention one downsampler; per FFN three parallel kernels, or one.
    expect(depthwiseIn('branches')).toBe(10 + 3 * 10);
    expect(depthwiseIn('merged')).toBe(10 + 10);
  });

  test('refuses images of other channels or sides, and conditions of another batch', () => {
    const model = new UDiT(TINY);
    const applyTo = (shape: number[], count: number) => () =>
      model.apply(input('x', shape), condition(count));
    expect(applyTo([2, 3, 16, 16], 2)).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: expectAxes: axis C differs: the tensor has 3, 4 is expected
        tensor  f32[N=2, C=3, H=16, W=16]]
    `);
    expect(applyTo([2, 4, 16, 20], 2)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: U-DiT: input size 16x20: width 20 is not a multiple of 8, 4 times the down factor of latent
        fix: use input size 16x24 or down factor 1 at this level]
    `);
    expect(applyTo([2, 4, 16, 16], 3)).toThrowErrorMatchingInlineSnapshot(`
      [ShapeError: ShapeError: expectAxes: axis N differs: the tensor has 3, 2 is expected
        tensor  f32[N=3]]
    `);
  });
});

describe('configurations that cannot work', () => {
  const build = (change: Partial<UDiTConfig>) => () => new UDiT({ ...TINY, ...change });
  /** Shape of what a configuration that can work computes from two images. */
  const outputOf = (change: Partial<UDiTConfig>) =>
    build(change)().apply(input('x', [2, 4, 16, 16]), condition(2)).shape;

  test('depth', () => {
    expect(build({ depth: [2, 5, 8] })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: U-DiT: depth has 3 entries, the U has 5 levels
        fix: give five block counts, as in 2,5,8,5,2]
    `);
  });
  test('down factors', () => {
    expect(build({ downFactor: [4, 2] })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: U-DiT: down factor has 2 entries, the U has 5 levels
        fix: give one number or five]
    `);
  });
  test('heads', () => {
    expect(build({ heads: 3 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: U-DiT: width 16 with 3 heads gives 5.333333333333333 channels per head
        fix: use a width that is a multiple of 12, such as 24]
    `);
    expect(build({ width: 12, heads: 2, position: 'rope2d' })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: U-DiT: width 12 with 2 heads gives 6 channels per head
        fix: use a width that is a multiple of 8, such as 16]
    `);
    expect(outputOf({ width: 12, heads: 2, position: 'none' })).toEqual([2, 8, 16, 16]);
  });
  test('input size', () => {
    expect(build({ inputSize: 18 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: U-DiT: input size 18 is not a multiple of 4, for maps are halved twice
        fix: use input size 24]
    `);
  });
  test('mlp ratio', () => {
    const odd = { width: 9, heads: 1, mlpRatio: 1, position: 'none' } as const;
    expect(build(odd)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: U-DiT: 9 · mlp ratio 1 is odd; the rep FFN halves it
        fix: use an even product]
    `);
    expect(outputOf({ ...odd, ffn: 'basic' })).toEqual([2, 8, 16, 16]);
  });
  test('full attention has no down factor that could not divide the side', () => {
    expect(outputOf({ downFactor: 8, tokens: 'none' })).toEqual([2, 8, 16, 16]);
  });
  test('down factor and side', () => {
    expect(build({ downFactor: 8 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: U-DiT: input size 16 is not a multiple of 32, 4 times the down factor of latent
        fix: use input size 32 or down factor 1 at this level]
    `);
  });
});
