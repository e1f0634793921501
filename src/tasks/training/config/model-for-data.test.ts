import { describe, expect, test } from 'vitest';
import { tinyConfig, tinySamples } from '../../../../test/support/tiny-training.ts';
import { createObjective } from '../../../diffusion/objectives.ts';
import { layerOf } from './config-layer.ts';
import { modelForData, modelOfConfig } from './model-for-data.ts';

const specWith = (key: string, value: unknown) => {
  const config = tinyConfig(layerOf(key, value));
  return modelForData(config, tinySamples(), createObjective(config.objective));
};

test('size, channels, classes and outputs follow from data and objective', () => {
  expect(specWith('model.width', 16).config).toMatchObject({
    ...{ width: 16, inputSize: 8, inChannels: 3, numClasses: 2, learnSigma: false },
  });
  expect(specWith('objective', { kind: 'gaussian' }).config.learnSigma).toBe(true);
  const fixed = { kind: 'gaussian', variance: 'fixed-small' };
  expect(specWith('objective', fixed).config.learnSigma).toBe(false);
});

test('they may be stated, and there may be more classes than the data has', () => {
  expect(specWith('model.inputSize', 8).config.inputSize).toBe(8);
  expect(specWith('model.numClasses', 5).config.numClasses).toBe(5);
});

test('sizes that are no squares are written as the data have them', () => {
  for (const size of ['16x8', { height: 16, width: 8 }]) {
    const config = tinyConfig(layerOf('data.imageSize', size), layerOf('model.inputSize', size));
    expect(modelOfConfig(config).config.inputSize).toBe('16x8');
  }
});

describe('contradictions', () => {
  test('another size', () => {
    expect(() => specWith('model.inputSize', 32)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: model.inputSize: is 32, but /pictures with this objective needs 8
        fix: leave model.inputSize out]
    `);
  });

  test('a variance that the objective does not learn', () => {
    expect(() => specWith('model.learnSigma', true)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: model.learnSigma: is true, but /pictures with this objective needs false
        fix: leave model.learnSigma out]
    `);
  });

  test('too few classes', () => {
    expect(() => specWith('model.numClasses', 1)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: model.numClasses: is 1, but /pictures has 2 classes
        fix: leave --num-classes out, or use 2 or more]
    `);
  });
});
