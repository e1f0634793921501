import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { randomWeights, tinyCard, tinySpec } from '../../test/support/tiny-checkpoint.ts';
import { torchStateDict } from '../../test/support/torch-writer.ts';
import { CheckpointError, ConfigError } from '../core/errors.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf } from '../core/host-tensor.ts';
import { randomKey } from '../core/random.ts';
import { sizeOf } from '../core/shape.ts';
import { sourceOf } from '../core/tensor-source.ts';
import { bytesInMemory } from '../formats/byte-source.ts';
import { openTensors } from '../formats/open.ts';
import type { SafetensorsFile } from '../formats/safetensors.ts';
import type { TensorFile } from '../formats/tensor-file.ts';
import type { DiTConfig } from '../networks/denoisers/dit.ts';
import { presetSpec } from '../networks/presets.ts';
import { createModel, type ModelSpec } from '../networks/registry.ts';
import { findModel, loadNetwork, type ModelRequest } from './open-model.ts';
import { cardMetadata, slotPrefix, weightsPrefix } from './saved-model.ts';

const card = tinyCard();
const weights = randomWeights(card.spec, 1);
const average = randomWeights(card.spec, 2);
const prefixed = (prefix: string, tensors: TensorMap) =>
  [...tensors].map(([name, tensor]) => [prefix + name, tensor] as const);

/** As training writes it. */
const checkpoint: SafetensorsFile = {
  metadata: cardMetadata(card),
  tensors: new Map([
    ...prefixed(weightsPrefix('model'), weights),
    ...prefixed(weightsPrefix('ema'), average),
    ...prefixed(slotPrefix('exp_avg'), weights),
  ]),
};
const first = [...weights.keys()][0]!;

/** The model of a whole file in memory. */
const opened = ({ tensors, metadata }: SafetensorsFile, where: string, set?: string) =>
  loadNetwork({ ...sourceOf(tensors), format: 'safetensors', metadata }, where, { weights: set });

describe('a checkpoint of udit', () => {
  test('the average is preferred, the last weights can be asked for', async () => {
    const saved = await opened(checkpoint, 'file');
    expect([saved.source, saved.findings]).toEqual(['ema', []]);
    expect(saved.weights.get(first)!.data).toBe(average.get(first)!.data);
    expect([...saved.weights.keys()]).toEqual([...saved.network.parameters()].map(({ name }) => name));
    expect((await opened(checkpoint, 'file', 'model')).weights.get(first)).toEqual(weights.get(first));
  });

  test('a file of bare keys holds one set, which it may name', async () => {
    const bare = { metadata: cardMetadata(card), tensors: new Map(weights) };
    expect((await opened(bare, 'file')).source).toBe('model');
    const named = { ...bare, metadata: { ...bare.metadata, weights: 'ema' } };
    expect((await opened(named, 'file', 'model')).source).toBe('ema');
  });

  test('tensors of another model', async () => {
    const wider = { ...checkpoint, metadata: cardMetadata({ ...card, spec: tinySpec({ numClasses: 7 }) }) };
    await expect(opened(wider, 'w.safetensors')).rejects.toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: w.safetensors: does not fit U-DiT-XS: 258 keys match, 0 missing, 0 unexpected, 3 misshapen
        misshapen  y_embedder_1.embedding_table.weight: file [4,8], model [8,8]
                   y_embedder_2.embedding_table.weight: file [4,16], model [8,16]
                   y_embedder_3.embedding_table.weight: file [4,32], model [8,32]
        fix: the file has 3 classes: pass --num-classes 3]
    `);
  });

  test('more blocks than tensors, which would take long to build', async () => {
    const spec = tinySpec({ depth: [1, 1, 2 ** 50, 1, 1] });
    const deep = { ...checkpoint, metadata: cardMetadata({ ...card, spec }) };
    await expect(opened(deep, 'w.safetensors')).rejects.toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: w.safetensors: its metadata says 1125899906842628 blocks, but it has 261 tensors
        fix: the file is damaged: copy or write it again]
    `);
  });

  test('a large input that it only claims to have costs nothing', async () => {
    const spec = tinySpec({ inputSize: 2 ** 20 });
    const large = { ...checkpoint, metadata: cardMetadata({ ...card, spec }) };
    expect((await opened(large, 'w.safetensors')).network.config.inputSize).toBe(2 ** 20);
  });
});

const published = presetSpec('U-DiT-S', { width: 8, heads: 2, depth: [1, 1, 1, 1, 1], numClasses: 10 });
const publishedWeights = randomWeights(published, 3);
const publishedAverage = randomWeights(published, 4);

/** A file of another program. */
const fileOf = (tensors: Iterable<readonly [string, HostTensor]>, metadata = {}): TensorFile => ({
  ...sourceOf(new Map(tensors)),
  format: 'PyTorch',
  metadata,
});
/** The same with names and shapes alone, of a model that may be large. */
const shapesOf = (spec: ModelSpec): TensorFile => {
  const parameters = [...createModel(spec).parameters()];
  const infos = new Map(parameters.map(({ name, shape }) => [name, { dtype: 'f32', shape }] as const));
  return { ...fileOf([]), infos };
};
/** Comparing values one by one takes long. */
const digestOf = (tensors: TensorMap): string => {
  const hash = createHash('sha256');
  for (const [name, { data }] of tensors) {
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
};
const messageOf = (file: TensorFile, request: ModelRequest = {}): string => {
  try {
    findModel(file, 'x.pt', request);
  } catch (error) {
    expect(error instanceof CheckpointError || error instanceof ConfigError).toBe(true);
    return (error as Error).message;
  }
  return expect.fail('no error');
};

describe('a checkpoint of another program', () => {
  test('a bare state dict is recognised, and what was assumed is told', async () => {
    const saved = await loadNetwork(fileOf(publishedWeights), 'x.pt');
    expect(saved.card).toMatchObject({ name: 'U-DiT', spec: published, objective: { kind: 'gaussian' } });
    expect(saved.source).toBe('unnamed');
    expect(saved.findings).toMatchInlineSnapshot(`
      [
        [
          "model",
          "U-DiT for 10 classes, recognised by the shapes of its tensors",
        ],
        [
          "assumed",
          "inputSize 32, downFactor 2, downShortcut true, position rope2d, Gaussian diffusion in 1000 linear steps with learned variance",
        ],
      ]
    `);
    expect(digestOf(saved.weights)).toEqual(digestOf(publishedWeights));
  });

  test('a file in the form of PyTorch, from its bytes to its weights', async () => {
    const file = await openTensors(bytesInMemory(torchStateDict(publishedWeights)), 'x.pt');
    expect(digestOf((await loadNetwork(file, 'x.pt')).weights)).toEqual(digestOf(publishedWeights));
  });

  test('the average is preferred, under any prefix', async () => {
    for (const [average, last] of [
      ['ema.', 'model.'],
      ['ema.module.', 'model.module.'],
      ['model_ema.', 'state_dict.'],
      ['ema.', ''],
    ] as const) {
      const file = fileOf([...prefixed(last, publishedWeights), ...prefixed(average, publishedAverage)]);
      const saved = await loadNetwork(file, 'x.pt');
      expect([saved.source, digestOf(saved.weights)]).toEqual(['ema', digestOf(publishedAverage)]);
      expect(saved.findings[0]![1]).toMatch(
        /^ema, preferred to (model|state_dict|model.module|those without)/,
      );
      const others = await loadNetwork(file, 'x.pt', { weights: 'model' });
      expect([others.source, digestOf(others.weights)]).toEqual(['model', digestOf(publishedWeights)]);
    }
  });

  test.each([
    'EMA.',
    'ema-0.9999.',
    'state_dict_ema.',
    'callbacks.EMAWeightAveraging.averaged.',
    "callbacks.EMACallback{'decay': 0.9999}.ema.",
    'ema_state_dict._orig_mod.',
    'averages.0.moving_average.',
    'swa_model.module.',
  ])('an average under the name %s', async (prefix) => {
    const file = fileOf([...prefixed('schema.', publishedWeights), ...prefixed(prefix, publishedAverage)]);
    const saved = await loadNetwork(file, 'x.pt');
    expect([saved.source, digestOf(saved.weights)]).toEqual(['ema', digestOf(publishedAverage)]);
  });

  test('of two averages the first is taken, and the other by its name', async () => {
    const sets = [
      ...prefixed('model.', publishedWeights),
      ...prefixed('model_ema1.', publishedAverage),
      ...prefixed('model_ema2.', publishedWeights),
    ];
    const saved = findModel(fileOf(sets), 'x.pt');
    expect(saved.findings[0]).toEqual([
      'weights',
      'ema (model_ema1), preferred to model, model_ema2; --weights takes another by its name',
    ]);
    const other = await loadNetwork(fileOf(sets), 'x.pt', { weights: 'model_ema2' });
    expect([other.source, digestOf(other.weights)]).toEqual(['model_ema2', digestOf(publishedWeights)]);
  });

  test('wrappers anywhere in a name', async () => {
    const wrapped = [...publishedWeights].map(([name, tensor]): [string, HostTensor] => {
      const [first, ...rest] = name.split('.');
      return [['_fsdp_wrapped_module', first, '_orig_mod', ...rest].join('.'), tensor];
    });
    const saved = await loadNetwork(fileOf(wrapped), 'x.pt');
    expect([saved.source, digestOf(saved.weights)]).toEqual(['unnamed', digestOf(publishedWeights)]);
  });

  test('weights and wrapped weights in one file stay apart', () => {
    const file = fileOf([...publishedWeights, ...prefixed('module.', publishedAverage)]);
    expect(findModel(file, 'x.pt').findings[0]).toEqual(['weights', 'model, preferred to module']);
  });

  test('an average whose names have lost their dots; what it leaves out is not trained', async () => {
    const frozen = 'x_embedder.proj.bias';
    const dotless = [...publishedAverage]
      .filter(([name]) => name !== frozen)
      .map(([name, tensor]): [string, HostTensor] => [`model_ema.${name.replaceAll('.', '')}`, tensor]);
    const file = fileOf([
      ...prefixed('model.diffusion_model.', publishedWeights),
      ...dotless,
      ['model_ema.decay', tensorOf('f32', [], [0.9999])],
    ]);
    const saved = await loadNetwork(file, 'x.pt');
    const expected = new Map(publishedAverage).set(frozen, publishedWeights.get(frozen)!);
    expect([saved.source, digestOf(saved.weights)]).toEqual(['ema', digestOf(expected)]);
  });

  test('counters and heads are mentioned; a tensor more within a part of the model may be of another one', () => {
    const one = tensorOf('f32', [1], [1]);
    const extra: [string, HostTensor][] = [
      ['latent.0.attn1.total_ops', one],
      ['projectors.0.weight', one],
    ];
    const file = { ...fileOf([...publishedWeights, ...extra]), passedOver: ['pathlib.PosixPath'] };
    expect(findModel(file, 'x.pt').findings.slice(-2)).toEqual([
      ['not used', 'latent.0.attn1.total_ops, projectors.0.weight'],
      ['passed over', 'objects of pathlib.PosixPath'],
    ]);
    const norm = fileOf([...publishedWeights, ['latent.0.attn1.q_norm.weight', one]]);
    expect(messageOf(norm)).toContain('unexpected  latent.0.attn1.q_norm.weight');
  });

  test('a tensor that cannot be read is an error where the model needs it', () => {
    const name = 'x_embedder.proj.bias';
    const rest = fileOf([...publishedWeights].filter(([other]) => other !== name));
    const file = { ...rest, unreadable: new Map([[name, 'is sparse: store tensor.to_dense()']]) };
    expect(messageOf(file)).toContain(
      'the model needs the tensor x_embedder.proj.bias, which is sparse: store tensor.to_dense()',
    );
    expect(messageOf({ ...file, unreadable: new Map([['x', 'is sparse']]) })).toContain('1 missing');
  });

  test('integers that float32 holds are weights', async () => {
    const [name, { shape }] = [...publishedWeights][0]!;
    const zeros = new Map(publishedWeights).set(
      name,
      tensorOf('i64', shape, new Array(sizeOf(shape)).fill(-3)),
    );
    expect((await loadNetwork(fileOf([...zeros]), 'x.pt')).weights.get(name)).toEqual(
      tensorOf('f32', shape, new Array(sizeOf(shape)).fill(-3)),
    );
  });

  test('label tables without a null label: of one row, of a round number, and as the user or the script says', () => {
    const labels = (file: TensorFile, request: ModelRequest = {}) => {
      const { numClasses, classDropoutProb } = findModel(file, 'x.pt', request).card.spec.config;
      return [numClasses, classDropoutProb];
    };
    const rows = (numClasses: number) => shapesOf(presetSpec('DiT-S/8', { numClasses, classDropoutProb: 0 }));
    expect(labels(rows(1))).toEqual([1, 0]);
    expect(labels(rows(1000))).toEqual([1000, 0]);
    expect(labels(rows(1000), { numClasses: 999 })).toEqual([999, 0.1]);
    expect(labels(rows(10))).toEqual([9, 0.1]);
    expect(labels(rows(10), { numClasses: 10 })).toEqual([10, 0]);
    expect(labels({ ...rows(10), metadata: { 'args.num_classes': '10' } })).toEqual([10, 0]);
    expect(labels({ ...rows(10), metadata: { 'args.num_classes': '9' } })).toEqual([9, 0.1]);
    for (const none of ['0', '', '-1']) {
      expect(labels({ ...rows(1), metadata: { 'args.num_classes': none } })).toEqual([1, 0]);
    }
  });

  test.each([
    ['DiT-S/8', 'SiT-S/8'],
    ['DiT-LLaMA-B/4', 'SiT-LLaMA-B/4'],
  ])('%s without channels for a variance is the flow %s', (preset, name) => {
    const { card } = findModel(shapesOf(presetSpec(preset, { learnSigma: false })), 'x.pt');
    expect(card).toMatchObject({ name, objective: { kind: 'flow', timeScale: 1 } });
  });

  test.each(['DiT-S/8', 'DiT-LLaMA-B/4'])(
    '%s without its table of positions, at any size',
    async (preset) => {
      const spec = presetSpec(preset, { width: 16, heads: 1, depth: 1, numClasses: 9, inputSize: 48 });
      const positions = [1, (48 / (spec.config as DiTConfig).patchSize) ** 2, 16];
      const all = randomWeights(spec, 5);
      const file = fileOf([...all].filter(([name]) => name !== 'pos_embed'));
      const saved = await loadNetwork(file, 'x.pt', { imageSize: 384 });
      expect(saved.card.spec).toEqual(spec);
      const { initRule } = saved.network;
      const table = initRule('pos_embed', positions)(positions, randomKey(0));
      expect(saved.weights).toEqual(new Map(all).set('pos_embed', hostTensor('f32', positions, table)));
      expect(saved.findings.at(-1)).toEqual(['computed', 'pos_embed']);
      const usual = findModel(file, 'x.pt');
      expect(usual.network.config.inputSize).toBe(32);
      expect(usual.findings[1]![1]).toContain('inputSize 32');
    },
  );

  test('a table of positions that is no square, of the size that the user says', async () => {
    const spec = presetSpec('DiT-S/4', { width: 16, heads: 1, depth: 1, numClasses: 9, inputSize: '16x8' });
    const file = fileOf(randomWeights(spec, 5));
    const asked = await loadNetwork(file, 'x.pt', { imageSize: '128x64' });
    expect(asked.card.spec).toEqual(spec);
    await expect(loadNetwork(file, 'x.pt')).rejects.toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: x.pt: does not fit DiT: 21 keys match, 0 missing, 0 unexpected, 1 misshapen
        misshapen  pos_embed: file [1,8,16], model [1,64,16]
        fix: give the size of the pictures that it was trained on, as in --image-size 384x256]
    `);
    const withoutTable = fileOf(randomWeights(tinySpec(), 1));
    expect(findModel(withoutTable, 'x.pt', { imageSize: '16x8' }).network.config.inputSize).toBe(32);
  });

  test('one set of weights below a prefix, beside tensors of something else', async () => {
    const file = fileOf([...prefixed('module.', publishedWeights), ['loss', tensorOf('f32', [], [1])]]);
    const saved = await loadNetwork(file, 'x.pt');
    expect([saved.source, digestOf(saved.weights)]).toEqual(['unnamed', digestOf(publishedWeights)]);
  });

  test('a preset with what the user says of it', () => {
    const spec = presetSpec('DiT-S/8', { numClasses: 10, inputSize: 64 });
    const found = findModel(shapesOf(spec), 'x.pt', { preset: 'DiT-S/8', numClasses: 10, imageSize: 512 });
    expect(found.card).toMatchObject({ name: 'DiT-S/8', spec });
    expect(found.findings).toMatchInlineSnapshot(`
      [
        [
          "assumed",
          "Gaussian diffusion in 1000 linear steps with learned variance",
        ],
      ]
    `);
  });

  test('the size of images, as the user or the training script says it', () => {
    const sizeOf = (metadata: Record<string, string>, request: ModelRequest) =>
      findModel(fileOf(publishedWeights, metadata), 'x.pt', request).network.config.inputSize;
    expect(sizeOf({}, {})).toBe(32);
    expect(sizeOf({ 'args.image_size': '512' }, {})).toBe(64);
    expect(sizeOf({ 'args.image_size': '128' }, {})).toBe(16);
    for (const none of ['1e9', '1000000000', '100', '0', '']) {
      expect(sizeOf({ 'args.image_size': none }, {}), none).toBe(32);
    }
    expect(sizeOf({ 'args.image_size': '512' }, { imageSize: 128 })).toBe(16);
    const pixels = fileOf(randomWeights(tinySpec(), 1));
    expect(findModel(pixels, 'x.pt', { imageSize: 64 }).network.config.inputSize).toBe(64);
  });

  test('what the training script was told', () => {
    const file = fileOf(publishedWeights, { 'args.model': 'SiT-XL/2' });
    expect(findModel(file, 'x.pt').findings).toContainEqual(['script', 'it was trained as --model SiT-XL/2']);
  });

  test('SiT is told from DiT by --model, or by what its training script was told', () => {
    const file = shapesOf(presetSpec('SiT-S/8', { numClasses: 10 }));
    const trained: TensorFile = { ...file, metadata: { 'args.model': 'SiT-S/8' } };
    expect(findModel(file, 'x.pt').card).toMatchObject({ name: 'DiT-S/8', objective: { kind: 'gaussian' } });
    const sit = { name: 'SiT-S/8', objective: { kind: 'flow', timeScale: 1 } };
    expect(findModel(file, 'x.pt', { preset: 'SiT-S/8', numClasses: 10 }).card).toMatchObject(sit);
    expect(findModel(trained, 'x.pt').card).toMatchObject(sit);
    expect(findModel(trained, 'x.pt').network.config.numClasses).toBe(10);
  });

  test('a variance that is not learned', () => {
    const file = fileOf(randomWeights(tinySpec(), 1));
    expect(findModel(file, 'x.pt').card.objective).toEqual({ kind: 'gaussian', variance: 'fixed-large' });
  });

  test('weights are read when they are needed, one by one, as float32', async () => {
    const doubles = [...publishedWeights].map(
      ([name, { shape, data }]) =>
        [name, hostTensor('f64', shape, new Float64Array(data as Float32Array))] as const,
    );
    const reads: string[] = [];
    const file = fileOf(doubles);
    const read = (name: string): Promise<HostTensor> => {
      reads.push(name);
      return file.read(name);
    };
    const counting: TensorFile = { ...file, read };
    const found = findModel(counting, 'x.pt');
    expect(found.weights.infos.get(first)!.dtype).toBe('f32');
    expect(reads).toEqual([]);
    expect(await found.weights.read(first)).toEqual(publishedWeights.get(first));
    expect(reads).toEqual([first]);
  });
});

describe('token downsampling that was not trained', () => {
  const spec = presetSpec('DiT-S/4', { width: 24, heads: 2, depth: 1, inputSize: 16, numClasses: 3 });
  const file = fileOf(randomWeights(spec, 4));

  test('changes attention, and is told', () => {
    const { card: drawn, findings } = findModel(file, 'dit.pt', { tokens: 'kv' });
    expect(drawn.spec.config).toMatchObject({ tokens: 'kv', downFactor: 2 });
    expect(findings.at(-1)).toEqual(['tokens', 'keys and values downsampled by 2 along each side']);
    const apart = findModel(file, 'dit.pt', { tokens: 'qkv', downFactor: 4 });
    expect(apart.findings.at(-1)).toEqual([
      'tokens',
      'queries, keys and values downsampled by 4 along each side',
    ]);
  });

  test('a factor for nothing', () => {
    expect(() => findModel(file, 'dit.pt', { downFactor: 4 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: --down-factor: a factor of 4 is given, but no tokens are downsampled
        fix: add --tokens kv (ToDo) or --tokens qkv]
    `);
  });

  test('a factor that does not divide', () => {
    expect(() =>
      findModel(file, 'dit.pt', { tokens: 'kv', downFactor: 3 }),
    ).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: DiT: input size 16 is not a multiple of 12, patch size 4 times down factor 3
        fix: use input size 24 or another down factor]
    `);
  });

  test('U-DiT learned its own', () => {
    const { tensors, metadata } = checkpoint;
    const own = { ...sourceOf(tensors), format: 'safetensors', metadata };
    expect(() => findModel(own, 'file', { tokens: 'kv' })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: --tokens: kv is requested, but U-DiT has learned its own token downsampling (qkv)
        fix: leave --tokens out; it is for DiT, SiT and their LLaMA variants]
    `);
    expect(() => findModel(own, 'file', { downFactor: 4 })).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: --down-factor: 4 is requested, but U-DiT has learned its own token downsampling (qkv)
        fix: leave --down-factor out; it is for DiT, SiT and their LLaMA variants]
    `);
  });
});

describe('refusals', () => {
  test('no tensors of a model', () => {
    expect(messageOf(fileOf([['a', tensorOf('f32', [], [1])]]))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: a PyTorch file of 1 tensors, but none of them embeds the images of a model (…x_embedder.proj.weight)
        tensors  a
        fix: give a checkpoint of U-DiT or DiT"
    `);
  });

  test('a model that is not known', () => {
    const file = fileOf([['x_embedder.proj.weight', tensorOf('f32', [1], [1])]]);
    expect(messageOf(file)).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its 1 tensors fit no known model
        tensors  x_embedder.proj.weight …
        fix: name its model with --model, as in --model DiT-XL/2"
    `);
  });

  test('another number of classes than the user says', () => {
    expect(messageOf(fileOf(publishedWeights), { numClasses: 7 })).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: does not fit U-DiT: 258 keys match, 0 missing, 0 unexpected, 3 misshapen
        misshapen  y_embedder_1.embedding_table.weight: file [11,8], model [8,8]
                   y_embedder_2.embedding_table.weight: file [11,16], model [8,16]
                   y_embedder_3.embedding_table.weight: file [11,32], model [8,32]
        fix: the file has 10 classes: pass --num-classes 10"
    `);
  });

  test('another model than the user says', () => {
    expect(messageOf(shapesOf(presetSpec('DiT-S/8')), { preset: 'DiT-S/4' })).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: does not fit DiT-S/4: 128 keys match, 0 missing, 0 unexpected, 4 misshapen
        misshapen  pos_embed: file [1,16,384], model [1,64,384]
                   x_embedder.proj.weight: file [384,4,8,8], model [384,4,4,4]
                   final_layer.linear.weight: file [512,384], model [128,384]
                   final_layer.linear.bias: file [512], model [128]
        fix: its tensors are those of DiT-S/8: leave --model out"
    `);
    const noVariance = shapesOf(presetSpec('DiT-S/8', { learnSigma: false }));
    expect(messageOf(noVariance, { preset: 'DiT-S/8' })).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: does not fit DiT-S/8: 130 keys match, 0 missing, 0 unexpected, 2 misshapen
        misshapen  final_layer.linear.weight: file [256,384], model [512,384]
                   final_layer.linear.bias: file [256], model [512]
        fix: its tensors are those of SiT-S/8: leave --model out"
    `);
  });

  test('one tensor too few, one too many', () => {
    const file = fileOf([...publishedWeights].slice(0, -1).concat([['extra', tensorOf('f32', [], [1])]]));
    expect(messageOf(file)).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: does not fit U-DiT: 260 keys match, 1 missing, 0 unexpected, 0 misshapen
        missing  final_layer.adaLN_modulation.1.bias
        fix: choose the --model and options that the file was trained with instead of U-DiT"
    `);
  });

  test('shapes that make no model', () => {
    const odd = [...publishedWeights].map(([name, tensor]): [string, HostTensor] =>
      name.endsWith('logit_scale') ? [name, tensorOf('f32', [3, 1, 1], [1, 1, 1])] : [name, tensor],
    );
    expect(messageOf(fileOf(odd))).toMatchInlineSnapshot(`
      "CheckpointError: x.pt: its metadata or its shapes describe an impossible model: U-DiT: width 8 with 3 heads gives 2.6666666666666665 channels per head
        fix: name its model with --model, if the file is not damaged"
    `);
  });

  test('a size that latents cannot have', () => {
    expect(messageOf(fileOf(publishedWeights), { imageSize: 100 })).toMatchInlineSnapshot(`
      "ConfigError: --image-size: 100 is not a multiple of 8, the factor between pictures and latents
        fix: use 104"
    `);
  });

  test('telling a file what it says itself', () => {
    const own: TensorFile = { ...fileOf(checkpoint.tensors), metadata: checkpoint.metadata };
    expect(messageOf(own, { numClasses: 3 })).toMatchInlineSnapshot(`
      "ConfigError: --num-classes: x.pt names its own model: U-DiT-XS
        fix: leave --num-classes out"
    `);
  });

  test('weights that are not finite, or no floats', async () => {
    const data = (weights.get(first)!.data as Float32Array).slice();
    data.set([Number.NaN, Number.POSITIVE_INFINITY], 5);
    const { shape } = weights.get(first)!;
    const damaged = { ...checkpoint, tensors: new Map(average).set(first, hostTensor('f32', shape, data)) };
    await expect(opened(damaged, 'w.safetensors')).rejects.toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: w.safetensors: tensor x_embedder.proj.weight: 2 of 216 values are not finite; the first is NaN at index 5
        fix: its training diverged, or the file is damaged: use an earlier checkpoint]
    `);
    const large = new Array(sizeOf(shape)).fill(2 ** 24 + 1);
    const counts = new Map(average).set(first, tensorOf('i64', shape, large));
    await expect(
      opened({ ...damaged, tensors: counts }, 'w.safetensors'),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: w.safetensors: tensor x_embedder.proj.weight of i64 holds 16777217 at index 0, which float32 does not
        fix: save the weights as float32, float16 or bfloat16]
    `);
    await expect(loadNetwork(fileOf(damaged.tensors), 'x.pt')).rejects.toThrow('2 of');
  });
});
