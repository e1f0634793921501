/** @file Images as tokens: p×p patches, each projected to one vector. */
import { linear, reshape, transpose } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import { Module, Parameter } from './module.ts';

export interface PatchConfig {
  readonly inChannels: number;
  /** Side of the square patches that become tokens. */
  readonly patchSize: number;
  /** Channels of every token. */
  readonly width: number;
}

/** The projection of flattened patches; its weight is stored as that of the strided convolution it stands for. */
class PatchProjection extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(channels: number, width: number, patchSize: number) {
    super();
    this.weight = new Parameter([width, channels, patchSize, patchSize]);
    this.bias = new Parameter([width]);
  }

  forward(patches: Tensor<'N T CPP'>): Unlabelled {
    const matrix = reshape(this.weight.tensor, [this.weight.shape[0]!, patches.shape[2]!]);
    return linear(patches, matrix, this.bias.tensor);
  }
}

/** Images [N, C, H, W] → tokens [N, T, D]. */
export class PatchEmbedder extends Module {
  readonly proj: PatchProjection;
  private readonly patchSize: number;

  constructor({ inChannels, width, patchSize }: PatchConfig) {
    super();
    this.proj = new PatchProjection(inChannels, width, patchSize);
    this.patchSize = patchSize;
  }

  forward(x: Tensor<'N C H W'>): Unlabelled {
    const [n, channels, height, width] = x.shape as [number, number, number, number];
    const p = this.patchSize;
    const [h, w] = [height / p, width / p];
    const split = transpose(reshape(x, [n, channels, h, p, w, p]), [0, 2, 4, 1, 3, 5]);
    return this.proj.apply(reshape(split, [n, h * w, channels * p * p]));
  }
}
