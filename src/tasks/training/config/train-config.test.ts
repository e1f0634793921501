import { describe, expect, test } from 'vitest';
import { PRESETS } from '../../../networks/presets.ts';
import { type ConfigLayer, layerOf } from './config-layer.ts';
import { resolveTrainConfig } from './train-config.ts';

const set = (key: string, value: unknown) => resolveTrainConfig([layerOf(key, value)]);

describe('layers', () => {
  test('later ones win over earlier ones, and all over the recipe', () => {
    const config = resolveTrainConfig([
      { training: { steps: 5, batchSize: 2 } },
      { training: { steps: 7 }, model: { width: 16 } },
    ]);
    expect(config.training).toMatchObject({ steps: 7, batchSize: 2, seed: 0 });
    expect(config.model).toEqual({ preset: 'U-DiT-XS', width: 16 });
  });

  test.each(Object.keys(PRESETS))('the recipe of %s is a complete configuration', (preset) => {
    const config = set('model.preset', preset);
    expect(config.model).toEqual({ preset });
    // What is written into config.json can be given again.
    expect(resolveTrainConfig([JSON.parse(JSON.stringify(config)) as ConfigLayer])).toEqual(config);
  });

  test('every option of a model can be given', () => {
    for (const preset of ['U-DiT-S', 'DiT-S/2']) {
      const given = { preset, ...PRESETS[preset]!.config };
      expect(resolveTrainConfig([{ model: given }]).model).toEqual(given);
    }
  });
});

describe('unknown keys name the nearest', () => {
  test('in a section', () => {
    expect(() => set('optimizer.learningrate', 1)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: unknown key optimizer.learningrate
        fix: did you mean optimizer.learningRate?]
    `);
  });

  test('of a section', () => {
    expect(() => set('optimiser.eps', 1)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: unknown key optimiser
        fix: did you mean optimizer?]
    `);
  });

  test('that lacks its section', () => {
    expect(() => set('learningRate', 1)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: unknown key learningRate
        fix: did you mean optimizer.learningRate?]
    `);
  });

  test('of a model', () => {
    expect(() => set('model.widht', 8)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: unknown key model.widht
        fix: did you mean model.width?]
    `);
  });

  test('of a model of another family', () => {
    expect(() =>
      resolveTrainConfig([{ model: { preset: 'U-DiT-S', patchSize: 2 } }]),
    ).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: unknown key model.patchSize
        fix: did you mean model.inputSize?]
    `);
  });

  test('of the objective that is chosen', () => {
    expect(() =>
      resolveTrainConfig([{ objective: { kind: 'gaussian', timescale: 1 } }]),
    ).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: unknown key objective.timescale
        fix: did you mean objective.schedule?]
    `);
    expect(() => set('objective.timescale', 1)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: unknown key objective.timescale
        fix: did you mean objective.timeScale?]
    `);
  });

  test('of an objective that is not chosen', () => {
    expect(() =>
      resolveTrainConfig([{ model: { preset: 'U-DiT-S' }, objective: { path: 'gvp' } }]),
    ).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: objective.path belongs to objective.kind flow, but the kind is gaussian
        fix: add --set objective.kind=flow, or leave objective.path out]
    `);
  });

  test('a preset', () => {
    expect(() => set('model.preset', 'U-DiT-XXS')).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: preset: there is no preset "U-DiT-XXS"
        U-DiT         XS T S B L
        DiT           UNet S/2 S/4 S/8 B/2 B/4 B/8 L/2 L/4 L/8 XL/2 XL/4 XL/8
        DiT-UNet      Slim KV
        SiT           S/2 S/4 S/8 B/2 B/4 B/8 L/2 L/4 L/8 XL/2 XL/4 XL/8
        DiT-LLaMA     B/4 L/4 XL/2 XL/4
        SiT-LLaMA     S/2 B/2 L/2 XL/2
        autoencoders  autoencoder SD-VAE TAESD TAESD3 TAEF2
        fix: did you mean U-DiT-XS?]
    `);
  });
});

test('values of the wrong kind', () => {
  const messageOf = ([key, value]: readonly [string, unknown]): string => {
    try {
      set(key, value);
      return `${key}: accepted`;
    } catch (error) {
      return (error as Error).message;
    }
  };
  const wrong: readonly (readonly [string, unknown])[] = [
    ['model', 3],
    ['model.width', 'eight'],
    ['model.depth', 3],
    ['model.downFactor', 'two'],
    ['model.attention', 'softmax'],
    ['objective', 'flow'],
    ['objective.kind', 'flw'],
    ['objective.timeScale', 0],
    ['data.heldOutFraction', 1],
    ['data.path', 5],
    ['data.imageSize', 1.5],
    ['data.imageSize', '48by32'],
    ['data', { path: '/photos', strict: 'yes' }],
    ['data', { path: '/photos', background: 'pink' }],
    ['data', { path: '/photos', background: '#12345' }],
    ['data', { path: '/photos', background: 0 }],
    ['data.background', 'pink'],
    ['optimizer.beta1', 2],
    ['optimizer.clipNorm', 'off'],
    ['training.steps', 1.5],
    ['training.batchSize', 0],
    ['logging.sampleEvery', undefined],
  ];
  expect(wrong.map(messageOf).join('\n')).toMatchInlineSnapshot(`
    "ConfigError: configuration: model: 3 is not valid
      fix: use an object with keys
    ConfigError: configuration: model.width: "eight" is not valid
      fix: use a number
    ConfigError: configuration: model.depth: 3 is not valid
      fix: use a list, as in [1,2]
    ConfigError: configuration: model.downFactor: "two" is not valid
      fix: use a number or a list, as in [1,2]
    ConfigError: configuration: model.attention: "softmax" is not valid
      fix: use cosine or dot
    ConfigError: configuration: objective: "flow" is not valid
      fix: use an object with keys
    ConfigError: configuration: objective.kind: "flw" is not valid
      fix: use gaussian or flow
    ConfigError: configuration: objective.timeScale: 0 is not valid
      fix: use a number above 0
    ConfigError: configuration: data.heldOutFraction: 1 is not valid
      fix: use a number below 1
    ConfigError: configuration: data.path: 5 is not valid
      fix: use text
    ConfigError: configuration: data.imageSize: 1.5 is not valid
      fix: use a whole number, or height x width such as 48x32
    ConfigError: configuration: data.imageSize: "48by32" is not valid
      fix: use a whole number, or height x width such as 48x32
    ConfigError: configuration: data.strict: "yes" is not valid
      fix: use true or false
    ConfigError: configuration: data.background: "pink" is not valid
      fix: use white, black, drop or a colour such as #ff8800
    ConfigError: configuration: data.background: "#12345" is not valid
      fix: use white, black, drop or a colour such as #ff8800
    ConfigError: configuration: data.background: 0 is not valid
      fix: use white, black, drop or a colour such as #ff8800
    ConfigError: configuration: data.background belongs to data.kind folder, but the kind is emoji
      fix: add --set data.kind=folder, or leave data.background out
    ConfigError: configuration: optimizer.beta1: 2 is not valid
      fix: use 1 or less
    ConfigError: configuration: optimizer.clipNorm: "off" is not valid
      fix: use a number
    ConfigError: configuration: training.steps: 1.5 is not valid
      fix: use a whole number
    ConfigError: configuration: training.batchSize: 0 is not valid
      fix: use 1 or more
    ConfigError: configuration: logging.sampleEvery: nothing is not valid
      fix: use a number"
  `);
});

test('the presets of the papers read pictures as the originals do', () => {
  const data = { kind: 'folder', path: 'photos' };
  const { data: read } = resolveTrainConfig([{ model: { preset: 'DiT-S/4' }, data }]);
  expect(read).toMatchObject({ background: 'drop', orientation: 'ignore' });
});

test.each([
  ['orientation', 'left', 'use follow or ignore'],
  ['endings', [], 'use all, or a list among .jpg, .jpeg, .jfif, .png'],
  ['endings', ['.psd'], 'use all, or a list among .jpg, .jpeg, .jfif, .png'],
])('data.%s is not %j', (name, value, fix) => {
  const data = { kind: 'folder', path: 'photos', [name]: value };
  expect(() => resolveTrainConfig([{ data }])).toThrow(fix);
});

describe('data', () => {
  const dataOf = (...layers: readonly object[]) => resolveTrainConfig(layers.map((data) => ({ data }))).data;

  test('are of a kind, with the options of that kind', () => {
    expect(dataOf()).toEqual({
      ...{ kind: 'emoji', imageSize: 32, augment: 'emoji', balanceClasses: false, heldOutFraction: 0.1 },
    });
    expect(dataOf({ kind: 'folder', path: 'emoji' })).toEqual({
      ...{ kind: 'folder', path: 'emoji', imageSize: 32, augment: 'flip', background: 'white' },
      ...{
        orientation: 'follow',
        endings: 'all',
        balanceClasses: false,
        heldOutFraction: 0.1,
        strict: false,
      },
    });
    expect(() => dataOf({ kind: 'folder' })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: there is no data.path
        fix: add --set data.path=…]
    `);
    expect(() => dataOf({ kind: 'emoji', path: 'x' })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: data.path belongs to data.kind folder, but the kind is emoji
        fix: add --set data.kind=folder, or leave data.path out]
    `);
    expect(() => dataOf({ kind: 'folders' })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: data.kind: "folders" is not valid
        fix: use emoji or emoji-3d or folder or latents]
    `);
    expect(() => dataOf({ kind: 'folder', path: 'x', backgruond: 'x' })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: unknown key data.backgruond
        fix: did you mean data.background?]
    `);
  });

  test('are of the kind that a path alone says', () => {
    expect(dataOf({ path: 'emoji' })).toEqual(dataOf());
    expect(dataOf({ path: '/photos' })).toEqual(dataOf({ kind: 'folder', path: '/photos' }));
  });

  test('of another kind keep the options that mean the same', () => {
    const photos = { path: '/photos', imageSize: 64, augment: 'none', background: 'black', strict: true };
    expect(dataOf(photos, { path: 'emoji' })).toEqual(dataOf({ imageSize: 64, augment: 'none' }));
    expect(dataOf(photos, { path: '/others' })).toEqual(dataOf({ ...photos, path: '/others' }));
    expect(dataOf({ path: 'emoji', augment: 'emoji' }, { path: '/photos' })).toEqual(
      dataOf({ path: '/photos' }),
    );
    expect(dataOf({ background: 'black' }, { path: '/photos' })).toMatchObject({ background: 'black' });
  });

  test('may have options that say nothing about emoji', () => {
    expect(dataOf({ path: 'emoji', strict: true, background: 'drop' })).toEqual(dataOf());
  });

  test('of a folder may be on any colour, emoji are on white', () => {
    for (const background of ['white', 'black', 'drop', '#12aBef']) {
      expect(dataOf({ path: '/photos', background })).toMatchObject({ background });
    }
    expect(() => dataOf({ path: 'emoji', background: 'black' })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: configuration: data.background: it is black, but emoji are drawn on white
        fix: leave it out, or choose a folder of pictures with --data-path]
    `);
  });

  test('need not be square', () => {
    const sizes = [32, '32', '48x32', '32x32'].map((imageSize) => dataOf({ imageSize }).imageSize);
    expect(sizes).toEqual([32, 32, '48x32', 32]);
  });
});

test.each(['U-DiT-S', 'SiT-S/2'])('%s is trained with any path and prediction of SiT', (preset) => {
  const chosen = { kind: 'flow', path: 'vp', prediction: 'score', lossWeight: 'likelihood' } as const;
  const { objective } = resolveTrainConfig([{ model: { preset }, objective: chosen }]);
  expect(objective).toMatchObject(chosen);
});

test('a micro-batch divides its batch, and is cut into the shards', () => {
  const training = (batchSize: number, microBatch: number, shards?: number) =>
    resolveTrainConfig([{ training: { batchSize, microBatch, ...(shards === undefined ? {} : { shards }) } }])
      .training;
  expect(training(256, 4)).toMatchObject({ microBatch: 4, shards: 2 });
  expect(training(9, 3)).toMatchObject({ microBatch: 3, shards: 1 });
  expect(() => training(256, 6)).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: configuration: training.microBatch: a batch of 256 images cannot be made of equal parts of 6
      fix: use --global-batch-size 258, or a micro-batch that divides 256]
  `);
  expect(() => training(256, 4, 3)).toThrowErrorMatchingInlineSnapshot(`
    [ConfigError: ConfigError: configuration: training.shards: a batch of 4 images cannot be cut into 3 equal parts
      fix: use --set training.microBatch=6, or --set training.shards=1]
  `);
});
