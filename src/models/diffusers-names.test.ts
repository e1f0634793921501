import { describe, expect, test } from 'vitest';
import { randomWeights } from '../../test/support/tiny-checkpoint.ts';
import { CheckpointError, ConfigError } from '../core/errors.ts';
import { type HostTensor, hostTensor, type TensorMap, tensorOf } from '../core/host-tensor.ts';
import { squareOf } from '../core/image-size.ts';
import { sourceOf } from '../core/tensor-source.ts';
import type { TensorFile } from '../formats/tensor-file.ts';
import { sinCosPositions } from '../networks/nn/position.ts';
import { presetSpec } from '../networks/presets.ts';
import { underDiffusersNames } from './diffusers-names.ts';
import { loadNetwork, type ModelRequest } from './open-model.ts';
import { cardMetadata } from './saved-model.ts';

const spec = presetSpec('DiT-S/8', { inputSize: 32, width: 8, heads: 1, depth: 2, numClasses: 3 });
const positions = hostTensor('f32', [1, 16, 8], sinCosPositions(squareOf(4), 8));
const weights: TensorMap = new Map([...randomWeights(spec, 1), ['pos_embed', positions]]);
const renamed = underDiffusersNames(spec, weights);

const fileOf = (tensors: TensorMap, metadata: Record<string, string> = {}): TensorFile => ({
  ...sourceOf(tensors),
  format: 'safetensors',
  metadata,
});
const open = (tensors: TensorMap, request?: ModelRequest) => loadNetwork(fileOf(tensors), 'x', request);
const changed = (name: string, tensor: HostTensor): TensorMap => new Map(renamed).set(name, tensor);
const without = (name: string): TensorMap => new Map([...renamed].filter(([other]) => other !== name));

/** As diffusers has them for one block. */
const ONE_BLOCK = {
  'pos_embed.proj.weight': [8, 4, 8, 8],
  'pos_embed.proj.bias': [8],
  'transformer_blocks.0.norm1.emb.timestep_embedder.linear_1.weight': [8, 256],
  'transformer_blocks.0.norm1.emb.timestep_embedder.linear_1.bias': [8],
  'transformer_blocks.0.norm1.emb.timestep_embedder.linear_2.weight': [8, 8],
  'transformer_blocks.0.norm1.emb.timestep_embedder.linear_2.bias': [8],
  'transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight': [4, 8],
  'transformer_blocks.0.norm1.linear.weight': [48, 8],
  'transformer_blocks.0.norm1.linear.bias': [48],
  'transformer_blocks.0.attn1.to_q.weight': [8, 8],
  'transformer_blocks.0.attn1.to_q.bias': [8],
  'transformer_blocks.0.attn1.to_k.weight': [8, 8],
  'transformer_blocks.0.attn1.to_k.bias': [8],
  'transformer_blocks.0.attn1.to_v.weight': [8, 8],
  'transformer_blocks.0.attn1.to_v.bias': [8],
  'transformer_blocks.0.attn1.to_out.0.weight': [8, 8],
  'transformer_blocks.0.attn1.to_out.0.bias': [8],
  'transformer_blocks.0.ff.net.0.proj.weight': [32, 8],
  'transformer_blocks.0.ff.net.0.proj.bias': [32],
  'transformer_blocks.0.ff.net.2.weight': [8, 32],
  'transformer_blocks.0.ff.net.2.bias': [8],
  'proj_out_1.weight': [16, 8],
  'proj_out_1.bias': [16],
  'proj_out_2.weight': [512, 8],
  'proj_out_2.bias': [512],
};

describe('weights of DiT under the names of diffusers', () => {
  test('names and shapes are those of diffusers, once per block', () => {
    const ofFirst = [...renamed].filter(([name]) => !name.startsWith('transformer_blocks.1.'));
    expect(Object.fromEntries(ofFirst.map(([name, { shape }]) => [name, shape]))).toEqual(ONE_BLOCK);
    const ofSecond = [...renamed.keys()].filter((name) => name.startsWith('transformer_blocks.1.'));
    expect(ofSecond.map((name) => name.replace('.1.', '.0.')).sort()).toEqual(
      Object.keys(ONE_BLOCK)
        .filter((name) => name.startsWith('transformer_blocks.'))
        .sort(),
    );
  });

  test('queries, keys and values are thirds; the embedders of all blocks are the same', () => {
    const qkv = weights.get('blocks.1.attn.qkv.weight')!.data;
    for (const [i, part] of ['q', 'k', 'v'].entries()) {
      const { data } = renamed.get(`transformer_blocks.1.attn1.to_${part}.weight`)!;
      expect(data).toEqual(qkv.subarray(64 * i, 64 * (i + 1)));
    }
    const table = 'norm1.emb.class_embedder.embedding_table.weight';
    for (const block of [0, 1]) {
      const { data } = renamed.get(`transformer_blocks.${block}.${table}`)!;
      expect(data).toEqual(weights.get('y_embedder.embedding_table.weight')!.data);
    }
  });

  test('are read back as they were, recognised by their shapes', async () => {
    const saved = await open(renamed);
    expect(saved.weights).toEqual(weights);
    expect([...saved.weights.keys()]).toEqual([...weights.keys()]);
    expect(saved.card).toMatchObject({ name: 'DiT', spec, objective: { kind: 'gaussian' } });
    expect(saved.findings).toMatchInlineSnapshot(`
      [
        [
          "model",
          "DiT for 3 classes, recognised by the shapes of its tensors",
        ],
        [
          "assumed",
          "inputSize 32, heads 1, discardSigma false, tokens none, downFactor 2, Gaussian diffusion in 1000 linear steps with learned variance",
        ],
        [
          "names",
          "those of diffusers; computed as the original network",
        ],
        [
          "computed",
          "pos_embed",
        ],
      ]
    `);
  });

  test('below prefixes, beside last weights, and in a file that names its model', async () => {
    const both = new Map([
      ...[...renamed].map(([name, { shape, data }]): [string, HostTensor] => [
        `model.${name}`,
        hostTensor(
          'f32',
          shape,
          (data as Float32Array).map((value) => 2 * value),
        ),
      ]),
      ...[...renamed].map(([name, tensor]): [string, HostTensor] => [`ema.module.${name}`, tensor]),
    ]);
    const saved = await open(both);
    expect([saved.source, saved.weights]).toEqual(['ema', weights]);
    const card = { ...saved.card, name: 'mine', classNames: ['a', 'b', 'c'] };
    const own = await loadNetwork(fileOf(renamed, { ...cardMetadata(card), weights: 'ema' }), 'x');
    expect([own.card, own.weights]).toEqual([card, weights]);
  });

  test('positions that the user says another size for', async () => {
    const { weights: larger, network } = await open(renamed, { imageSize: 512 });
    expect(network.config.inputSize).toBe(64);
    expect(larger.get('pos_embed')!.data).toEqual(sinCosPositions(squareOf(8), 8));
  });
});

describe('refusals', () => {
  const one = tensorOf('f32', [1], [1]);

  test('a tensor is missing', async () => {
    await expect(
      open(without('transformer_blocks.1.attn1.to_k.bias')),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: x: it has the names of diffusers, but lacks 1 tensors of a DiT of 2 blocks
        missing  transformer_blocks.1.attn1.to_k.bias
        fix: give all files of the model, or check that it is a DiT]
    `);
  });

  test('blocks have embedders of their own', async () => {
    const name = 'transformer_blocks.1.norm1.emb.timestep_embedder.linear_2.bias';
    const data = Float32Array.from(renamed.get(name)!.data as Float32Array);
    data[7]! += 1;
    await expect(
      open(changed(name, hostTensor('f32', [8], data))),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: x: transformer_blocks.1.norm1.emb.timestep_embedder.linear_2.bias holds other values than transformer_blocks.0.norm1.emb.timestep_embedder.linear_2.bias, but the network has one for all blocks
        fix: give weights that were converted from the original; those trained with an embedder per block are of another network]
    `);
  });

  test('parts of one parameter do not fit together', async () => {
    const wide = tensorOf('f32', [8, 4], new Array(32).fill(0));
    await expect(
      open(changed('transformer_blocks.0.attn1.to_v.weight', wide)),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [CheckpointError: CheckpointError: x: transformer_blocks.0.attn1.to_q.weight [8,8] and transformer_blocks.0.attn1.to_v.weight [8,4] belong to one parameter, but do not fit together
        fix: the file is damaged, or of another model]
    `);
  });

  test('tensors more are of another network, unless they are beside it', async () => {
    await expect(open(changed('transformer_blocks.0.norm3.weight', one))).rejects.toThrow(
      'unexpected  transformer_blocks.0.norm3.weight',
    );
    const { findings } = await open(changed('ema_decay.value', one));
    expect(findings.at(-1)).toEqual(['not used', 'ema_decay.value']);
  });

  test('a part that cannot be read', async () => {
    const name = 'transformer_blocks.0.attn1.to_q.weight';
    const file = { ...fileOf(without(name)), unreadable: new Map([[name, 'is sparse']]) };
    await expect(loadNetwork(file, 'x')).rejects.toThrow(
      `the model needs the tensor ${name}, which is sparse`,
    );
    await expect(loadNetwork(file, 'x')).rejects.toThrow(CheckpointError);
  });

  test('networks that diffusers lacks', () => {
    const udit = presetSpec('U-DiT-XS');
    expect(() => underDiffusersNames(udit, new Map())).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: names of diffusers: it has a network for DiT and SiT, none for U-DiT
        fix: leave --names out]
    `);
    const learned = new Map(weights).set('pos_embed', tensorOf('f32', [1, 16, 8], new Array(128).fill(0.5)));
    expect(() => underDiffusersNames(spec, learned)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: names of diffusers: it computes the positions; these have 0.5 at index 0, computed 0
        fix: leave --names out]
    `);
    expect(() => underDiffusersNames(spec, learned)).toThrow(ConfigError);
    const oblong = presetSpec('DiT-S/8', { ...spec.config, inputSize: '32x16' });
    expect(() => underDiffusersNames(oblong, new Map())).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: names of diffusers: it computes positions of squares; this model was trained at 32x16
        fix: leave --names out]
    `);
  });
});
