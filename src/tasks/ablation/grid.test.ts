import { describe, expect, test } from 'vitest';
import { backgroundOf } from '../../data/datasets/data-config.ts';
import { planAblation } from './ablation.ts';
import { cellConfig, type Grid, parseGrid } from './grid.ts';

const TINY = {
  base: {
    model: { preset: 'U-DiT-XS', width: 8, depth: [1, 1, 1, 1, 1] },
    data: { path: '/pictures', imageSize: 8 },
    training: { batchSize: 4 },
  },
  variants: [{ name: 'full', set: { 'model.tokens': 'none' } }, { name: 'Down-sampled' }],
  seeds: [0, 1],
  budget: { steps: 40 },
};

const parse = (change: object = {}): Grid => parseGrid({ ...TINY, ...change }, 'grid.json', 'grid');

describe('a grid', () => {
  test('has a row per variant, with the base below it', () => {
    const grid = parse();
    expect(grid.variants.map(({ name, folder }) => [name, folder])).toEqual([
      ['full', 'full'],
      ['Down-sampled', 'down-sampled'],
    ]);
    const config = cellConfig(grid, grid.variants[0]!, { seed: 1, steps: 40 });
    expect(config).toMatchObject({
      model: { preset: 'U-DiT-XS', width: 8, tokens: 'none' },
      training: { seed: 1, steps: 40, batchSize: 4 },
      logging: { sampleEvery: null, evaluateEvery: 2, ckptEvery: 2, keepLast: 1 },
    });
  });

  test('has what the base says where that is said', () => {
    const grid = parse({ base: { ...TINY.base, logging: { evaluateEvery: null, sampleEvery: 10 } } });
    const { logging } = cellConfig(grid, grid.variants[0]!, { seed: 0, steps: 40 });
    expect(logging).toMatchObject({ evaluateEvery: null, sampleEvery: 10, ckptEvery: 2 });
  });

  test('leaves a cell what its run was started with, unless the base says otherwise', () => {
    const backgroundWith = (data: object) => {
      const grid = parse({ base: { ...TINY.base, data: { ...TINY.base.data, ...data } } });
      const early = { data: { background: 'drop' } };
      return backgroundOf(cellConfig(grid, grid.variants[0]!, { seed: 0, steps: 40 }, early).data);
    };
    expect(backgroundWith({})).toBe('drop');
    expect(backgroundWith({ background: 'black' })).toBe('black');
  });

  test('multiplies axes out, with or without variants', () => {
    const axes = { 'model.width': [8, 16], 'optimizer.clipNorm': [null, 1] };
    expect(parse({ variants: [{ name: 'a' }], axes }).variants.map(({ name }) => name)).toEqual([
      'a, width=8, clipNorm=null',
      'a, width=8, clipNorm=1',
      'a, width=16, clipNorm=null',
      'a, width=16, clipNorm=1',
    ]);
    const [, , third] = parse({ variants: undefined, axes }).variants;
    expect(third).toEqual({
      name: 'width=16, clipNorm=null',
      folder: 'width-16-clipnorm-null',
      layer: { model: { width: 16 }, optimizer: { clipNorm: null } },
    });
  });

  test('measures in a small way where nothing is said', () => {
    expect(parse({ seeds: undefined })).toMatchObject({
      seeds: [0],
      evaluation: { passes: 16, samples: 504, cfgScale: 1 },
    });
  });
});

describe('cost', () => {
  test('a budget of work buys steps by their cost', () => {
    const [fixed] = planAblation(parse());
    const { macs, macsPerStep } = fixed!.cost;
    // Forward, and backward as two, of four images.
    expect(macsPerStep).toBe(12 * macs);
    const [full, less] = planAblation(parse({ budget: { teraMacs: (100 * macsPerStep) / 1e12 } }));
    expect(full!.steps).toBe(100);
    expect(less!.cost.macs).toBeLessThan(macs);
    const spent = less!.steps! * less!.cost.macsPerStep;
    expect(Math.abs(spent - 100 * macsPerStep)).toBeLessThanOrEqual(less!.cost.macsPerStep / 2);
  });

  test('drawing is counted by runs of the network', () => {
    const macs = (evaluation: object) => planAblation(parse({ evaluation }))[0]!.cost;
    const plain = macs({ samples: 10, sampler: 'heun', steps: 5 });
    expect(plain.evaluationMacs).toBe(10 * 2 * 5 * plain.macs);
    expect(macs({ samples: 10, sampler: 'heun', steps: 5, cfgScale: 2 }).evaluationMacs).toBe(
      2 * plain.evaluationMacs,
    );
    expect(macs({ samples: null }).evaluationMacs).toBe(0);
  });

  test('time buys what only a measurement can tell', () => {
    expect(planAblation(parse({ budget: { minutes: 5 } }))[0]!.steps).toBeUndefined();
  });
});

describe('refuses', () => {
  const failure = (change: object): string => {
    try {
      planAblation(parse(change));
    } catch (error) {
      return (error as Error).message;
    }
    return 'no error';
  };

  test('what a grid does not have', () => {
    expect(failure({ variant: [] })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: unknown key variant
        fix: did you mean variants?"
    `);
    expect(failure({ budget: { step: 5 } })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: unknown key budget.step
        fix: did you mean steps?"
    `);
    expect(failure({ evaluation: { shfit: 5 } })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: unknown key evaluation.shfit
        fix: did you mean shift?"
    `);
    expect(failure({ evaluation: { eta: 5 } })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: evaluation.eta: 5 is not valid
        fix: use 1 or less"
    `);
    expect(failure({ evaluation: { passs: 5 } })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: unknown key evaluation.passs
        fix: did you mean passes?"
    `);
    expect(failure({ variants: [{ name: 'a', sets: {} }] })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: unknown key variants.0.sets
        fix: did you mean set?"
    `);
    expect(failure({ variants: [{ set: {} }] })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: variants.0.name: it is missing
        fix: add it: docs/guides/ablations.md shows a grid"
    `);
    expect(failure({ variants: { a: {} } })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: variants: {"a":{}} is not valid
        fix: use a list, as in [1,2]"
    `);
    expect(failure({ budget: undefined })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: budget: it is missing
        fix: add it: docs/guides/ablations.md shows a grid"
    `);
  });

  test('grids without cells', () => {
    expect(failure({ variants: [] })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: the grid has no cells: variants is empty
        fix: name at least one variant, or give axes"
    `);
    expect(failure({ seeds: [] })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: the grid has no cells: seeds is empty
        fix: give it at least one value"
    `);
    expect(failure({ axes: { 'model.width': [] } })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: the grid has no cells: axes.model.width is empty
        fix: give it at least one value"
    `);
  });

  test('two cells in one place', () => {
    expect(failure({ variants: [{ name: 'a' }, { name: 'a' }] })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: two variants are called "a"
        fix: give each a name of its own"
    `);
    expect(failure({ variants: [{ name: 'a b' }, { name: 'A-B' }] })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: variants "a b" and "A-B" would share the folder a-b
        fix: give each a name of its own"
    `);
    expect(failure({ seeds: [1, 2, 1] })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: seeds: seed 1 is given twice, and would repeat the same training
        fix: give each seed once"
    `);
  });

  test('seeds that are none', () => {
    expect(failure({ seeds: [0, 1.5] })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: seeds.1: 1.5 is not valid
        fix: use a whole number"
    `);
    expect(failure({ seeds: ['one'] })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: seeds.0: "one" is not valid
        fix: use a number"
    `);
    expect(failure({ seeds: [-1] })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: seeds.0: -1 is not valid
        fix: use 0 or more"
    `);
  });

  test('no budget, or two', () => {
    expect(failure({ budget: {} })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: budget: exactly one of steps, minutes, teraMacs is needed; none was given
        fix: give one, as in {"steps": 1000}"
    `);
    expect(failure({ budget: { steps: 10, minutes: 5 } })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: budget: exactly one of steps, minutes, teraMacs is needed; given were steps 10 and minutes 5
        fix: give one, as in {"steps": 1000}"
    `);
    expect(failure({ budget: { minutes: 0 } })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: budget.minutes: 0 is not valid
        fix: use a number above 0"
    `);
  });

  test('what is decided elsewhere', () => {
    expect(failure({ variants: [{ name: 'a', set: { 'training.seed': 3 } }] })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: training.seed is set to 3, but cells get it from seeds
        fix: leave it out, and change seeds"
    `);
    expect(failure({ base: { training: { steps: 3 } } })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: training.steps is set to 3, but cells get it from budget
        fix: leave it out, and change budget"
    `);
    expect(failure({ axes: { 'model.tokens': ['qkv', 'kv'] } })).toMatchInlineSnapshot(`
      "ConfigError: grid.json: model.tokens is an axis, but variant "full" also sets it to "none"
        fix: set it in one of them only"
    `);
  });

  test('rows that are measured against different pictures, for one table cannot compare them', () => {
    const rows = (set: object) => ({
      variants: [
        { name: 'plain', set: {} },
        { name: 'other', set },
      ],
    });
    expect(failure(rows({ 'data.imageSize': 16 }))).toMatchInlineSnapshot(`
      "ConfigError: variant "other": its scores would be of other pictures than those of "plain": data.imageSize is 16, not 8
        fix: set data.imageSize in the base, and compare other data in a grid of their own"
    `);
    expect(failure(rows({ 'data.heldOutFraction': 0.5 }))).toContain('data.heldOutFraction is 0.5, not 0.1');
    expect(failure(rows({ 'data.path': '/others' }))).toContain('data.path is "/others", not "/pictures"');
  });

  test('but not rows that see them otherwise in training', () => {
    const axes = { 'data.augment': ['none', 'flip'], 'data.balanceClasses': [true, false] };
    expect(planAblation(parse({ axes })).length).toBe(2 * 4);
  });

  test('configurations that cannot work, naming the variant', () => {
    const variant = (set: object) => failure({ variants: [{ name: 'wide', set }] });
    expect(variant({ 'model.widht': 16 })).toMatchInlineSnapshot(`
      "ConfigError: variant "wide": configuration: unknown key model.widht
        fix: did you mean model.width?"
    `);
    expect(variant({ 'model.width': 9 })).toMatchInlineSnapshot(`
      "ConfigError: variant "wide": U-DiT: width 9 with 2 heads gives 4.5 channels per head
        fix: use a width that is a multiple of 8, such as 16"
    `);
    expect(variant({ 'model.preset': 'DiT-XXL' })).toMatchInlineSnapshot(`
      "ConfigError: variant "wide": preset: there is no preset "DiT-XXL"
        U-DiT         XS T S B L
        DiT           UNet S/2 S/4 S/8 B/2 B/4 B/8 L/2 L/4 L/8 XL/2 XL/4 XL/8
        DiT-UNet      Slim KV
        SiT           S/2 S/4 S/8 B/2 B/4 B/8 L/2 L/4 L/8 XL/2 XL/4 XL/8
        DiT-LLaMA     B/4 L/4 XL/2 XL/4
        SiT-LLaMA     S/2 B/2 L/2 XL/2
        autoencoders  autoencoder SD-VAE TAESD TAESD3 TAEF2
        fix: did you mean DiT-S/2?"
    `);
    expect(variant({ 'data.imageSize': 12 })).toMatchInlineSnapshot(`
      "ConfigError: variant "wide": evaluation.samples: pictures of 12×12 cannot be cut into 8×8 tiles for the Fréchet distance
        fix: use a data.imageSize such as 16, or set evaluation.samples to null"
    `);
  });
});
