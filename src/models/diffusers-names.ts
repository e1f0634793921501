/**
 * @file DiT under the names of diffusers (its `DiTTransformer2DModel`): queries, keys and values are stored apart, the
 * embedders of time and class once in every block, positions not at all. All values are the original's, and shifts,
 * scales and gates follow each other in the same order.
 * https://huggingface.co/docs/diffusers/api/models/dit_transformer2d
 */
import { CheckpointError, ConfigError } from '../core/errors.ts';
import { type HostTensor, hostTensor, type TensorMap } from '../core/host-tensor.ts';
import { isSquare } from '../core/image-size.ts';
import { trainedGrid } from '../networks/denoisers/dit.ts';
import type { ModelSpec } from '../networks/families.ts';
import { trainedSizeOf } from '../networks/nn/network.ts';
import { sinCosPositions } from '../networks/nn/position.ts';
import type { StoredParameter, StoredParameters } from './stored-parameters.ts';

/** Layers by the original's names, and what stands for each. */
const LAYERS = {
  'x_embedder.proj': 'pos_embed.proj',
  'final_layer.linear': 'proj_out_2',
  'final_layer.adaLN_modulation.1': 'proj_out_1',
};
/** The same in every block. */
const EMBEDDERS = {
  't_embedder.mlp.0': 'norm1.emb.timestep_embedder.linear_1',
  't_embedder.mlp.2': 'norm1.emb.timestep_embedder.linear_2',
  'y_embedder.embedding_table': 'norm1.emb.class_embedder.embedding_table',
};
const BLOCK_LAYERS = {
  'attn.qkv': ['attn1.to_q', 'attn1.to_k', 'attn1.to_v'],
  'attn.proj': ['attn1.to_out.0'],
  'mlp.fc1': ['ff.net.0.proj'],
  'mlp.fc2': ['ff.net.2'],
  'adaLN_modulation.1': ['norm1.linear'],
};
const TABLE_OF_CLASSES = 'y_embedder.embedding_table';

/** It tells these names from others. */
export const DIFFUSERS_PATCHES = `${LAYERS['x_embedder.proj']}.weight`;
const MODULATION = /^transformer_blocks\.\d+\.norm1\.linear\.weight$/;

/** Where the parameters of a DiT of so many blocks are, but for its positions. */
function storedByDiffusers(depth: number): Map<string, StoredParameter> {
  const stored = new Map<string, StoredParameter>();
  const add = (layer: string, layers: readonly string[], areCopies = false): void => {
    for (const part of layer === TABLE_OF_CLASSES ? ['weight'] : ['weight', 'bias']) {
      stored.set(`${layer}.${part}`, { names: layers.map((name) => `${name}.${part}`), areCopies });
    }
  };
  const blocks = Array.from({ length: depth }, (_, i) => i);
  for (const [layer, name] of Object.entries(LAYERS)) add(layer, [name]);
  for (const [layer, name] of Object.entries(EMBEDDERS)) {
    add(
      layer,
      blocks.map((i) => `transformer_blocks.${i}.${name}`),
      true,
    );
  }
  for (const i of blocks) {
    for (const [layer, names] of Object.entries(BLOCK_LAYERS)) {
      add(
        `blocks.${i}.${layer}`,
        names.map((name) => `transformer_blocks.${i}.${name}`),
      );
    }
  }
  return stored;
}

/**
 * The parameters of a DiT whose tensors have these names, or undefined if they are no names of diffusers.
 *
 * @throws CheckpointError naming tensors that are missing
 */
export function findDiffusersParameters(
  names: ReadonlySet<string>,
  where: string,
): StoredParameters | undefined {
  const depth = [...names].filter((name) => MODULATION.test(name)).length;
  if (depth === 0 || !names.has(DIFFUSERS_PATCHES)) return undefined;
  const stored = storedByDiffusers(depth);
  const missing = [...stored.values()].flatMap((one) => one.names).filter((name) => !names.has(name));
  if (missing.length === 0) return stored;
  throw new CheckpointError({
    where,
    problem: `it has the names of diffusers, but lacks ${missing.length} tensors of a DiT of ${depth} blocks`,
    facts: [['missing', `${missing.slice(0, 3).join('   ')}${missing.length > 3 ? ' …' : ''}`]],
    fix: 'give all files of the model, or check that it is a DiT',
  });
}

/**
 * The weights of a DiT under the names of diffusers. Values are shared, not copied.
 *
 * @throws ConfigError for a network of another family, or with positions that diffusers does not compute
 */
export function underDiffusersNames({ family, config }: ModelSpec, weights: TensorMap): TensorMap {
  if (family !== 'DiT') {
    throw refusal(`it has a network for DiT and SiT, none for ${family}`);
  }
  if (!isSquare(trainedSizeOf(config))) {
    throw refusal(`it computes positions of squares; this model was trained at ${config.inputSize}`);
  }
  const positions = sinCosPositions(trainedGrid(config), config.width);
  const given = weights.get('pos_embed')!.data as Float32Array;
  // Sines of another library may be rounded otherwise.
  const other = given.findIndex((value, i) => !(Math.abs(value - positions[i]!) < 1e-6));
  if (other >= 0) {
    throw refusal(
      `it computes the positions; these have ${given[other]} at index ${other}, computed ${positions[other]}`,
    );
  }
  const renamed = new Map<string, HostTensor>();
  for (const [parameter, { names, areCopies }] of storedByDiffusers(config.depth)) {
    const { shape, data } = weights.get(parameter)!;
    const length = areCopies ? data.length : data.length / names.length;
    const [rows, ...rest] = shape as [number, ...number[]];
    const part = [areCopies ? rows : rows / names.length, ...rest];
    names.forEach((name, i) => {
      const begin = areCopies ? 0 : i * length;
      renamed.set(name, hostTensor('f32', part, (data as Float32Array).subarray(begin, begin + length)));
    });
  }
  return renamed;
}

function refusal(problem: string): ConfigError {
  return new ConfigError({ where: 'names of diffusers', problem, fix: 'leave --names out' });
}
