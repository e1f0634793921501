/** @file Single building blocks that a forward fixture may record: FFN forms, rotations, embeddings, unpatchify. */
import type { TensorMap } from '../../src/core/host-tensor.ts';
import { squareOf } from '../../src/core/image-size.ts';
import { reshape, rotary, transpose } from '../../src/engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../src/engine/graph/tensor.ts';
import type { Denoiser } from '../../src/networks/denoisers/denoiser.ts';
import { DiT, trainedGrid, unpatchify } from '../../src/networks/denoisers/dit.ts';
import { DiTLlama } from '../../src/networks/denoisers/dit-llama.ts';
import { UDiT } from '../../src/networks/denoisers/udit.ts';
import { timestepEmbedding } from '../../src/networks/nn/conditioning.ts';
import type { Module } from '../../src/networks/nn/module.ts';
import { rotaryTables } from '../../src/networks/nn/rotary.ts';
import { TracedModules } from './module-values.ts';

type Leaf = (name: string) => Unlabelled;
type Named = readonly [name: string, value: Tensor];

export function buildingBlocks(tensors: TensorMap, leaf: Leaf, model: Denoiser): Named[] {
  const names = [...tensors.keys()];
  return [
    ...(names.some((name) => name.startsWith('ffn.')) && model instanceof UDiT ? ffnForms(leaf, model) : []),
    ...names.flatMap((name) => rotaryValues(name, leaf)),
    ...names.flatMap((name) => timeEmbeddings(name, leaf)),
    ...(names.includes('unpatchify.in') && (model instanceof DiT || model instanceof DiTLlama)
      ? [
          [
            'unpatchify.out',
            unpatchify(leaf('unpatchify.in'), model.config.patchSize, trainedGrid(model.config)),
          ] as const,
        ]
      : []),
  ];
}

/** The module whose two forms and merged kernels are recorded as `ffn.*`. */
const FFN_PATH = 'encoder_level_1.0.mlp1';

function ffnForms(leaf: Leaf, model: UDiT): Named[] {
  const ffn: Module = model.encoder_level_1[0]!.mlp1;
  const images = leaf(`in.${FFN_PATH}`);
  const outputOf = (form: 'merged' | 'branches') =>
    ffn.apply(transpose(images, [0, 2, 3, 1]), { form }) as Tensor;
  const [merged, branches] = [outputOf('merged'), outputOf('branches')];
  const modules = new TracedModules(merged);
  const [first, last] = modules.operationsIn(FFN_PATH, 'linear');
  const [depthwise] = modules.operationsIn(FFN_PATH, 'depthwiseConv2d');
  const kernels = { project_in: first, dwconv: depthwise, project_out: last };
  return [
    ['ffn.eval_out', transpose(merged, [0, 3, 1, 2])],
    ['ffn.train_out', transpose(branches, [0, 3, 1, 2])],
    ...Object.entries(kernels).flatMap(([name, node]): Named[] => [
      [`ffn.merged.${name}_weight`, node!.inputs[1]!],
      [`ffn.merged.${name}_bias`, node!.inputs[2]!],
    ]),
  ];
}

/** `rope.d<headDim>_n<tokens>.cos` and `.sin`, and the rotation of `rope.q` and `rope.k`, [B, T, heads, headDim]. */
function rotaryValues(name: string, leaf: Leaf): Named[] {
  const table = /^rope\.d(\d+)_n(\d+)\.(cos|sin)$/.exec(name);
  if (table !== null) {
    const [, headDim, tokens, part] = table;
    return [
      [name, rotaryTables(squareOf(Math.sqrt(Number(tokens))), Number(headDim))[part as 'cos' | 'sin']],
    ];
  }
  const rotated = /^(rope\.[qk])_out$/.exec(name)?.[1];
  if (rotated === undefined) return [];
  const x = leaf(rotated);
  const [batch, tokens, heads, headDim] = x.shape as [number, number, number, number];
  const { cos, sin } = rotaryTables(squareOf(Math.sqrt(tokens)), headDim);
  return [[name, rotary(reshape(x, [batch, tokens, heads * headDim]), cos, sin, heads)]];
}

/** `temb.dim<width>`: embeddings of the times `temb.t`. */
function timeEmbeddings(name: string, leaf: Leaf): Named[] {
  const dim = /^temb\.dim(\d+)$/.exec(name)?.[1];
  return dim === undefined ? [] : [[name, timestepEmbedding(leaf('temb.t'), Number(dim))]];
}
