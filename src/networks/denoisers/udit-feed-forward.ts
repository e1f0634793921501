/** @file The feed-forward networks of U-DiT (section 3.4 of the paper): plain, with a depthwise convolution, or with several. */
import {
  add,
  constant,
  depthwiseConv2d,
  gelu,
  linear,
  matmul,
  pad,
  reshape,
} from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { centreTap, DepthwiseConv2d, Mlp, PointwiseConv2d } from '../nn/layers.ts';
import { Module } from '../nn/module.ts';
import type { TraceOptions } from '../nn/network.ts';

/** rep: convolutional with parallel kernels; dwconv: one 5×5 kernel; basic: a plain MLP with tanh GELU. */
export type FeedForwardKind = 'rep' | 'dwconv' | 'basic';

export type FeedForward = RepFeedForward | DepthwiseFeedForward | Mlp;

/** @param hidden - channels between its two projections */
export function feedForward(kind: FeedForwardKind, width: number, hidden: number): FeedForward {
  if (kind === 'rep') return new RepFeedForward(width, hidden);
  if (kind === 'dwconv') return new DepthwiseFeedForward(width, hidden);
  return new Mlp(PointwiseConv2d, width, hidden, 'tanh');
}

/** 1×1 → GELU → parallel depthwise 5×5, 3×3, 1×1 and identity → 1×1, each 1×1 a stack of two (section 3.4). */
class RepFeedForward extends Module {
  readonly project_in: readonly PointwiseConv2d[];
  readonly dwconv: readonly DepthwiseConv2d[];
  readonly project_out: readonly PointwiseConv2d[];

  constructor(width: number, hidden: number) {
    super();
    this.project_in = [new PointwiseConv2d(width, hidden / 2), new PointwiseConv2d(hidden / 2, hidden)];
    this.dwconv = [5, 3, 1].map((kernel) => new DepthwiseConv2d(hidden, kernel));
    this.project_out = [new PointwiseConv2d(hidden, hidden / 2), new PointwiseConv2d(hidden / 2, width)];
  }

  forward(x: Tensor<'N H W C'>, { form }: TraceOptions): Unlabelled {
    if (form === 'branches') {
      const h = gelu(through(this.project_in, x), 'none');
      return through(
        this.project_out,
        this.dwconv.reduce<Tensor>((y, conv) => add(y, conv.apply(h)), h),
      );
    }
    const h = gelu(mergedStack(this.project_in, x), 'none');
    return mergedStack(this.project_out, this.mergedDepthwise(h));
  }

  /** Sums of convolutions are convolutions with the summed kernels: one 5×5 does the work of all four branches. */
  private mergedDepthwise(h: Tensor): Unlabelled {
    const kernels = this.dwconv.map(({ weight }) => {
      const margin = (5 - weight.shape[2]!) / 2;
      return pad(weight.tensor, [0, 0, margin, margin], [0, 0, margin, margin]);
    });
    const kernel = kernels.reduce<Tensor>(add, centreTap(5));
    const bias = this.dwconv.map((conv) => conv.bias.tensor).reduce<Tensor>(add, constant(0));
    return depthwiseConv2d(h, kernel, bias);
  }
}

function through(layers: readonly PointwiseConv2d[], x: Tensor): Unlabelled {
  return layers.reduce<Tensor>((y, layer) => layer.apply(y), x) as Unlabelled;
}

/** Two stacked linear maps as one: W = W₂ W₁, b = W₂ b₁ + b₂. */
function mergedStack(layers: readonly PointwiseConv2d[], x: Tensor): Unlabelled {
  const [first, second] = layers as [PointwiseConv2d, PointwiseConv2d];
  const bias1 = reshape(first.bias.tensor, [first.bias.shape[0]!, 1]);
  const bias = add(reshape(matmul(second.matrix, bias1), second.bias.shape), second.bias.tensor);
  return linear(x, matmul(second.matrix, first.matrix), bias);
}

/** 1×1 → GELU → depthwise 5×5 (no skip) → 1×1: the ablation "+DW-conv FFN" of Table 9. */
class DepthwiseFeedForward extends Module {
  readonly project_in: PointwiseConv2d;
  readonly dwconv: DepthwiseConv2d;
  readonly project_out: PointwiseConv2d;

  constructor(width: number, hidden: number) {
    super();
    this.project_in = new PointwiseConv2d(width, hidden);
    this.dwconv = new DepthwiseConv2d(hidden, 5);
    this.project_out = new PointwiseConv2d(hidden, width);
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    return this.project_out.apply(this.dwconv.apply(gelu(this.project_in.apply(x), 'none')));
  }
}
