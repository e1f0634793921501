import { describe, expect, test } from 'vitest';
import { input } from '../../engine/graph/operators.ts';
import { checkpointKeyOfKL, checkpointKeyOfTaesd, recogniseTaesd } from '../recognise-autoencoders.ts';
import { TAESD_PRESETS } from './presets.ts';
import { Taesd } from './taesd.ts';

const shapesOf = (network: Taesd) =>
  new Map([...network.parameters()].map(({ name, shape }) => [name, shape]));

test.each(Object.entries(TAESD_PRESETS))('%s is recognised by its tensors', (_, config) => {
  const shapes = shapesOf(new Taesd(config));
  const { data, shown } = recogniseTaesd((name) => shapes.get(name))!;
  expect({ ...data, ...shown }).toEqual(config);
});

test('has the layers of the published files, by their numbers', () => {
  const shapes = shapesOf(new Taesd(TAESD_PRESETS.TAEF2!));
  // The keys of `taef2_encoder.pth` and `taef2_decoder.pth`.
  expect(shapes.get('encoder.14.weight')).toEqual([32, 64, 3, 3]);
  expect(shapes.get('encoder.11.pool.0.weight')).toEqual([256, 64, 1, 1]);
  expect(shapes.has('encoder.10.bias')).toBe(false);
  expect(shapes.get('decoder.1.weight')).toEqual([64, 32, 3, 3]);
  expect(shapes.get('decoder.19.weight')).toEqual([3, 64, 3, 3]);
  expect(shapes.has('decoder.8.pool.0.weight')).toBe(false);
});

test('stages hold every parameter once', () => {
  const network = new Taesd(TAESD_PRESETS.TAESD!);
  const stages = network.stages();
  for (const { name } of network.parameters()) {
    expect(stages.filter(({ paths }) => paths.some((path) => name.startsWith(`${path}.`))).length, name).toBe(
      1,
    );
  }
});

test('a picture that 8 does not divide is an error', () => {
  const network = new Taesd(TAESD_PRESETS.TAESD!);
  expect(() => network.encode(input('x', [1, 3, 20, 16]))).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: TAESD: input size 20x16: height 20 is not a multiple of 8, the factor between pictures and latents
      fix: use input size 24x16]
  `);
});

describe('names of published files', () => {
  test.each([
    ['decoder.layers.0.weight', 'decoder.1.weight'],
    ['ema.encoder.layers.3.conv.0.bias', 'ema.encoder.3.conv.0.bias'],
    ['decoder.19.bias', 'decoder.19.bias'],
  ])('%s', (published, key) => expect(checkpointKeyOfTaesd(published)).toBe(key));

  test.each([
    ['encoder.mid_block.attentions.0.proj_attn.weight', 'encoder.mid_block.attentions.0.to_out.0.weight'],
    ['vae.decoder.mid_block.attentions.0.query.bias', 'vae.decoder.mid_block.attentions.0.to_q.bias'],
    ['decoder.mid_block.attentions.0.group_norm.bias', 'decoder.mid_block.attentions.0.group_norm.bias'],
  ])('%s', (published, key) => expect(checkpointKeyOfKL(published)).toBe(key));
});
