import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { presetOfReference } from '../../tools/parity/reference-config.ts';
import { countParameters } from './nn/module.ts';
import { PRESETS, presetSpec } from './presets.ts';
import { createModel } from './registry.ts';

/** Presets of our own. Of all others `npm run parity` compares parameters and cost with the reference's. */
const OURS = {
  'U-DiT-XS': 2_120_411,
  'DiT-UNet': 7_198_856,
  'DiT-UNet-Slim': 4_136_192,
  'DiT-UNet-KV': 7_313_672,
  'U-DiT-T': 7_256_264,
};

test('every published preset is among those whose parameters and cost the reference records', () => {
  const record = new URL('../../test/fixtures/fullsize/macs_params.json', import.meta.url);
  const { models } = JSON.parse(readFileSync(record, 'utf8')) as { models: object };
  const published = Object.keys(PRESETS).filter((name) => !Object.hasOwn(OURS, name));
  const recorded = new Set(Object.keys(models).map(presetOfReference));
  expect(recorded).toEqual(new Set(published.map((name) => PRESETS[name])));
  expect(recorded.size).toBe(published.length);
});

test.each(Object.entries(OURS))('%s has %d parameters', (name, count) => {
  expect(countParameters(createModel(presetSpec(name)).parameters())).toBe(count);
});

describe('presetSpec', () => {
  test('replaces options', () => {
    const { family, config } = presetSpec('DiT-S/2', { numClasses: 10, depth: 3 });
    expect(family).toBe('DiT');
    expect(config).toEqual({ ...PRESETS['DiT-S/2']!.config, numClasses: 10, depth: 3 });
  });

  test('names the nearest preset, whatever the case', () => {
    expect(() => presetSpec('udit-s')).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: preset: there is no preset "udit-s"
        U-DiT      XS T S B L
        DiT        UNet S/2 S/4 S/8 B/2 B/4 B/8 L/2 L/4 L/8 XL/2 XL/4 XL/8
        DiT-UNet   Slim KV
        SiT        S/2 S/4 S/8 B/2 B/4 B/8 L/2 L/4 L/8 XL/2 XL/4 XL/8
        DiT-LLaMA  B/4 L/4 XL/2 XL/4
        SiT-LLaMA  S/2 B/2 L/2 XL/2
        fix: did you mean U-DiT-S?]
    `);
    expect(() => presetSpec('dit-xl2')).toThrowError('did you mean DiT-XL/2?');
    expect(() => presetSpec('constructor')).toThrowError('there is no preset "constructor"');
  });

  test('names the nearest option', () => {
    const misspelt = { hiddenWidth: 8 } as object;
    expect(() => presetSpec('U-DiT-S', misspelt)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: U-DiT-S: U-DiT has no option "hiddenWidth"
        options  inputSize inChannels numClasses learnSigma classDropoutProb width heads depth mlpRatio tokens downFactor downsampler downShortcut attention position ffn
        fix: did you mean width?]
    `);
    expect(() => presetSpec('DiT-S/2', { downsampler: 'dwconv5' })).toThrowError(
      'DiT has no option "downsampler"',
    );
  });

  test('refuses values that cannot work only when the model is built', () => {
    expect(() => createModel(presetSpec('U-DiT-S', { inputSize: 30 }))).toThrowError('input size 30');
  });
});
