/**
 * @file Lowering of attention and of rotary positions. Where the operators of ONNX that do them whole are missing (below
 * opset 23), they are the products and sums that they stand for.
 */
import { tensorOf } from '../../core/host-tensor.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { Lowering, NodeOf } from './lowering.ts';

// B batch · T tokens · D = heads·d

export function lowerAttention(lowering: Lowering, tensor: NodeOf<'attention'>): string {
  const { heads, scale } = tensor.params;
  if (lowering.has('Attention')) {
    return lowering.emit(
      'Attention',
      tensor.inputs.map((input) => lowering.name(input)),
      { q_num_heads: heads, kv_num_heads: heads, scale: { float: scale } },
    );
  }
  const [q, k, v] = tensor.inputs;
  const weights = attentionWeights(lowering, q!, k!, heads, scale);
  const mixed = lowering.emit('MatMul', [weights, splitHeads(lowering, v!, heads)]);
  return lowering.reshape(lowering.emit('Transpose', [mixed], { perm: [0, 2, 1, 3] }), tensor.shape);
}

export function lowerAttentionWeights(lowering: Lowering, tensor: NodeOf<'attentionWeights'>): string {
  const [q, k] = tensor.inputs;
  const { heads, scale } = tensor.params;
  return attentionWeights(lowering, q!, k!, heads, scale);
}

/** softmax(scale · q kᵀ), [B, heads, T, T]. */
function attentionWeights(lowering: Lowering, q: Tensor, k: Tensor, heads: number, scale: number): string {
  const [queries, keys] = [splitHeads(lowering, q, heads), splitHeads(lowering, k, heads)];
  const scores = lowering.features.contributed
    ? lowering.emit('FusedMatMul', [queries, keys], { transB: 1, alpha: { float: scale } }, 'com.microsoft')
    : lowering.emit('Mul', [
        lowering.emit('MatMul', [queries, lowering.lastTwoSwapped(keys, 4)]),
        lowering.float(scale),
      ]);
  return lowering.emit('Softmax', [scores], { axis: -1 });
}

/** [B, T, heads·d] → [B, heads, T, d]. */
function splitHeads(lowering: Lowering, x: Tensor, heads: number): string {
  const [batch, tokens, width] = x.shape as [number, number, number];
  return lowering.once(`heads ${x.id} ${heads}`, () =>
    lowering.emit('Transpose', [lowering.reshape(lowering.name(x), [batch, tokens, heads, width / heads])], {
      perm: [0, 2, 1, 3],
    }),
  );
}

export function lowerRotary(lowering: Lowering, tensor: NodeOf<'rotary'>): string {
  const [x, cosTable, sinTable] = tensor.inputs;
  const { heads } = tensor.params;
  const attributes = { interleaved: 1, num_heads: heads };
  const [rows, cos, sin] = [x!, cosTable!, sinTable!].map((input) => lowering.name(input));
  if (lowering.features.contributed) {
    const start = lowering.writer.integers([0]);
    return lowering.emit('RotaryEmbedding', [rows!, start, cos!, sin!], attributes, 'com.microsoft');
  }
  if (!lowering.has('RotaryEmbedding')) return rotatedPairs(lowering, tensor);
  const [batch, tokens] = x!.shape as [number, number, number];
  return lowering.emit(
    'RotaryEmbedding',
    [rows!, cos!, sin!, positions(lowering, batch, tokens)],
    attributes,
  );
}

/** Each pair (a, b) of neighbours becomes (a cos − b sin, a sin + b cos). */
function rotatedPairs(lowering: Lowering, { inputs, params, shape }: NodeOf<'rotary'>): string {
  const [x, cosTable, sinTable] = inputs;
  const [batch, tokens, width] = x!.shape as [number, number, number];
  const pairs = [batch, tokens, params.heads, width / params.heads / 2];
  const split = lowering.once(`pairs ${x!.id} ${params.heads}`, () =>
    lowering.reshape(lowering.name(x!), [...pairs, 2]),
  );
  const { writer } = lowering;
  const [a, b] = [0, 1].map((side) =>
    lowering.emit('Slice', [
      split,
      writer.integers([side]),
      writer.integers([side + 1]),
      writer.integers([4]),
    ]),
  ) as [string, string];
  const [cos, sin] = [cosTable!, sinTable!].map((table) =>
    lowering.once(`by token ${table.id}`, () =>
      lowering.reshape(lowering.name(table), [1, tokens, 1, table.shape[1]!, 1]),
    ),
  ) as [string, string];
  const times = (left: string, right: string) => lowering.emit('Mul', [left, right]);
  const turned = [
    lowering.emit('Sub', [times(a, cos), times(b, sin)]),
    lowering.emit('Add', [times(a, sin), times(b, cos)]),
  ];
  return lowering.reshape(lowering.emit('Concat', turned, { axis: 4 }), shape);
}

/** 0 … tokens − 1 for each row of a batch. */
function positions(lowering: Lowering, batch: number, tokens: number): string {
  return lowering.once(`positions ${batch} ${tokens}`, () => {
    const row = tensorOf(
      'i64',
      [1, tokens],
      Array.from({ length: tokens }, (_, token) => token),
    );
    return lowering.emit('Expand', [
      lowering.writer.constant(row),
      lowering.writer.integers([batch, tokens]),
    ]);
  });
}
