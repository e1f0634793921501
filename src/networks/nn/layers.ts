/** @file Layers. Images are [N, H, W, C] inside models; parameters have PyTorch's layouts. */

import { ConfigError } from '../../core/errors.ts';
import { tensorOf } from '../../core/host-tensor.ts';
import {
  add,
  constant,
  conv2d,
  depthwiseConv2d,
  div,
  gelu,
  layerNorm,
  linear,
  mul,
  relu,
  reshape,
  silu,
  sqrt,
  sub,
  transpose,
} from '../../engine/graph/operators.ts';
import type { GeluApproximation, Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { type Pair, pairOf, type WindowOptions } from '../../engine/graph/window.ts';
import { Module, Parameter } from './module.ts';

export interface BiasOption {
  readonly bias?: boolean;
}

/** y = x Wᵀ + b over the last axis; weight [out, in]. */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;

  constructor(inputs: number, outputs: number, { bias = true }: BiasOption = {}) {
    super();
    this.weight = new Parameter([outputs, inputs]);
    this.bias = bias ? new Parameter([outputs]) : undefined;
  }

  /** @param scale - [out] of the result, multiplied into weight and bias */
  forward(x: Tensor, scale?: Tensor): Unlabelled {
    const { weight, bias } = this;
    if (scale === undefined) return linear(x, weight.tensor, bias?.tensor);
    const scaled = mul(weight.tensor, reshape(scale, [weight.shape[0]!, 1]));
    return linear(x, scaled, bias && mul(bias.tensor, scale));
  }
}

/** Zero mean and unit variance of every token, then a scale and a shift of every channel (Ba et al. 2016). */
export class LayerNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  private readonly eps: number;

  constructor(width: number, { eps = 1e-5 }: { readonly eps?: number } = {}) {
    super();
    this.weight = new Parameter([width]);
    this.bias = new Parameter([width]);
    this.eps = eps;
  }

  forward(x: Tensor): Unlabelled {
    return add(mul(layerNorm(x, this.eps), this.weight.tensor), this.bias.tensor);
  }
}

/** A 1×1 convolution: the same as {@link Linear} on the channels, but its weight is stored [out, in, 1, 1]. */
export class PointwiseConv2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(inputs: number, outputs: number) {
    super();
    this.weight = new Parameter([outputs, inputs, 1, 1]);
    this.bias = new Parameter([outputs]);
  }

  /** The weight as a matrix [out, in]. */
  get matrix(): Unlabelled {
    return reshape(this.weight.tensor, this.weight.shape.slice(0, 2));
  }

  forward(x: Tensor): Unlabelled {
    return linear(x, this.matrix, this.bias.tensor);
  }
}

/**
 * Dense convolution; weight [out, in, kh, kw]. Its stride is 1 and its padding keeps the size, unless the options say
 * otherwise: a layer that PyTorch pads by 1 on every side is `{ stride: 2, padding: 1 }` here too.
 */
export class Conv2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  private readonly window: WindowOptions;

  constructor(
    inputs: number,
    outputs: number,
    kernel: number | Pair,
    { bias = true, ...window }: BiasOption & WindowOptions = {},
  ) {
    super();
    this.weight = new Parameter([outputs, inputs, ...pairOf(kernel)]);
    this.bias = bias ? new Parameter([outputs]) : undefined;
    this.window = window;
  }

  /** @param affine - scale and shift [out] of the result, for a layer without bias */
  forward(x: Tensor<'N H W C'>, affine?: { readonly scale: Tensor; readonly shift: Tensor }): Unlabelled {
    if (affine === undefined) return conv2d(x, this.weight.tensor, this.bias?.tensor, this.window);
    const scale = reshape(affine.scale, [this.weight.shape[0]!, 1, 1, 1]);
    return conv2d(x, mul(this.weight.tensor, scale), affine.shift, this.window);
  }
}

/** One k×k filter per channel, stride 1, same padding; weight [C, 1, k, k]. */
export class DepthwiseConv2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(channels: number, kernel: number) {
    super();
    this.weight = new Parameter([channels, 1, kernel, kernel]);
    this.bias = new Parameter([channels]);
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    return depthwiseConv2d(x, this.weight.tensor, this.bias.tensor);
  }
}

/** A depthwise k×k kernel that is 1 at the centre: adding it to a filter adds the identity. */
export function centreTap(kernel: number): Unlabelled {
  const taps = new Float32Array(kernel * kernel);
  taps[(kernel * kernel - 1) / 2] = 1;
  return constant(tensorOf('f32', [1, 1, kernel, kernel], taps));
}

/**
 * Zero mean and unit variance over the pixels of each group of channels of each image, then a scale and a shift of every
 * channel (Wu & He 2018).
 */
export class GroupNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  private readonly groups: number;
  private readonly eps: number;

  /** @throws ConfigError unless the channels divide among the groups */
  constructor(groups: number, channels: number, { eps = 1e-5 }: { readonly eps?: number } = {}) {
    super();
    if (channels % groups !== 0) {
      throw new ConfigError({
        where: 'GroupNorm',
        problem: `${channels} channels do not divide among ${groups} groups`,
        fix: `use ${Math.ceil(channels / groups) * groups} channels`,
      });
    }
    this.weight = new Parameter([channels]);
    this.bias = new Parameter([channels]);
    this.groups = groups;
    this.eps = eps;
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    const [batch, height, width, channels] = x.shape as [number, number, number, number];
    // Channels first, as the convolutions around it are computed: a group is one run of memory.
    const grouped = reshape(transpose(x, [0, 3, 1, 2]), [
      batch,
      this.groups,
      (channels / this.groups) * height * width,
    ]);
    const normalised = reshape(layerNorm(grouped, this.eps), [batch, channels, height, width]);
    const perChannel = (parameter: Parameter) => reshape(parameter.tensor, [channels, 1, 1]);
    const scaled = add(mul(normalised, perChannel(this.weight)), perChannel(this.bias));
    return transpose(scaled, [0, 2, 3, 1]);
  }
}

/**
 * Batch norm as it is after training: with the mean and variance of the training data it is one scale and one shift per
 * channel (Ioffe & Szegedy 2015).
 */
export class BatchNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly running_mean: Parameter;
  readonly running_var: Parameter;
  private readonly eps: number;

  constructor(channels: number, { eps = 1e-5 }: { readonly eps?: number } = {}) {
    super();
    this.weight = new Parameter([channels]);
    this.bias = new Parameter([channels]);
    this.running_mean = new Parameter([channels], { frozen: true });
    this.running_var = new Parameter([channels], { frozen: true });
    this.eps = eps;
  }

  /** y = x · scale + shift. */
  get affine(): { readonly scale: Unlabelled; readonly shift: Unlabelled } {
    const scale = div(this.weight.tensor, sqrt(add(this.running_var.tensor, this.eps)));
    return { scale, shift: sub(this.bias.tensor, mul(this.running_mean.tensor, scale)) };
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    const { scale, shift } = this.affine;
    return add(mul(x, scale), shift);
  }
}

/**
 * A convolution without bias, batch norm and ReLU. The scale of the norm is multiplied into the filters in the graph, so
 * that one convolution is left once the weights are known.
 */
export class ConvNormRelu extends Module {
  readonly conv: Conv2d;
  readonly bn: BatchNorm;

  constructor(
    inputs: number,
    outputs: number,
    kernel: number | Pair,
    { eps, ...window }: WindowOptions & { readonly eps?: number } = {},
  ) {
    super();
    this.conv = new Conv2d(inputs, outputs, kernel, { ...window, bias: false });
    this.bn = new BatchNorm(outputs, eps === undefined ? {} : { eps });
  }

  forward(x: Tensor<'N H W C'>): Unlabelled {
    const { scale, shift } = this.bn.affine;
    return relu(this.conv.apply(x, { scale, shift }));
  }
}

/** x · sigmoid(x). It has no parameters but a place in a {@link Sequential}. */
export class SiLU extends Module {
  forward(x: Tensor): Unlabelled {
    return silu(x);
  }
}

/** Two-layer perceptron with GELU (timm's `Mlp`); its layers are linear on tokens, pointwise on images. */
export class Mlp extends Module {
  readonly fc1: Linear | PointwiseConv2d;
  readonly fc2: Linear | PointwiseConv2d;
  private readonly approximate: GeluApproximation;

  constructor(
    Layer: typeof Linear | typeof PointwiseConv2d,
    width: number,
    hidden: number,
    approximate: GeluApproximation,
  ) {
    super();
    this.fc1 = new Layer(width, hidden);
    this.fc2 = new Layer(hidden, width);
    this.approximate = approximate;
  }

  forward(x: Tensor): Unlabelled {
    return this.fc2.apply(gelu(this.fc1.apply(x), this.approximate));
  }
}

/** Modules one after the other; keys are indices, so that layers without parameters keep their number. */
export class Sequential extends Module {
  private readonly layers: readonly Module[];

  constructor(...layers: readonly Module[]) {
    super();
    this.layers = layers;
  }

  override *children(): Iterable<readonly [string, Module]> {
    for (const [index, layer] of this.layers.entries()) yield [String(index), layer];
  }

  forward(x: Tensor): Unlabelled {
    return this.layers.reduce<Tensor>((y, layer) => layer.apply(y) as Tensor, x) as Unlabelled;
  }
}
