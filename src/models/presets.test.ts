import { describe, expect, test } from 'vitest';
import { countParameters } from '../nn/module.ts';
import { PRESETS, presetSpec } from './presets.ts';
import { createModel } from './registry.ts';

/** Parameters of the reference's models, all and trained: counted by running its code. */
const PARAMETER_COUNTS: Readonly<Record<string, readonly [all: number, trained: number]>> = {
  'U-DiT-XS': [2_120_411, 2_120_411], // ours: no reference
  'U-DiT-S': [58_896_568, 58_896_568],
  'U-DiT-B': [231_251_304, 231_251_304],
  'U-DiT-L': [916_335_304, 916_335_304],
  'DiT-S/2': [32_963_360, 32_865_056],
  'DiT-S/4': [32_945_024, 32_920_448],
  'DiT-S/8': [33_148_160, 33_142_016],
  'DiT-B/2': [130_512_416, 130_315_808],
  'DiT-B/4': [130_475_648, 130_426_496],
  'DiT-B/8': [130_881_536, 130_869_248],
  'DiT-L/2': [458_102_816, 457_840_672],
  'DiT-L/4': [458_053_760, 457_988_224],
  'DiT-L/8': [458_594_816, 458_578_432],
  'DiT-XL/2': [675_129_632, 674_834_720],
  'DiT-XL/4': [675_074_432, 675_000_704],
  'DiT-XL/8': [675_683_072, 675_664_640],
};

test('every preset has its number of parameters on record', () => {
  expect(Object.keys(PARAMETER_COUNTS)).toEqual(Object.keys(PRESETS));
});

test.each(Object.entries(PARAMETER_COUNTS))('%s has %o parameters (all, trained)', (name, [all, trained]) => {
  const parameters = [...createModel(presetSpec(name)).parameters()];
  expect(countParameters(parameters)).toBe(all);
  expect(countParameters(parameters.filter(({ frozen }) => !frozen))).toBe(trained);
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
        presets  U-DiT-XS U-DiT-S U-DiT-B U-DiT-L DiT-S/2 DiT-S/4 DiT-S/8 DiT-B/2 DiT-B/4 DiT-B/8 DiT-L/2 DiT-L/4 DiT-L/8 DiT-XL/2 DiT-XL/4 DiT-XL/8
        fix: did you mean U-DiT-S?]
    `);
    expect(() => presetSpec('dit-xl2')).toThrowError('did you mean DiT-XL/2?');
    expect(() => presetSpec('constructor')).toThrowError('there is no preset "constructor"');
  });

  test('names the nearest option', () => {
    const misspelt = { hiddenWidth: 8 } as object;
    expect(() => presetSpec('U-DiT-S', misspelt)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: U-DiT-S: U-DiT has no option "hiddenWidth"
        options  inputSize inChannels numClasses learnSigma classDropoutProb width heads depth mlpRatio downFactor downsampler downShortcut attention position ffn
        fix: did you mean width?]
    `);
    expect(() => presetSpec('DiT-S/2', { downFactor: 2 })).toThrowError('DiT has no option "downFactor"');
  });

  test('refuses values that cannot work only when the model is built', () => {
    expect(() => createModel(presetSpec('U-DiT-S', { inputSize: 30 }))).toThrowError('input size 30');
  });
});
