/** @file What every diffusion transformer of this project is, seen from outside. */
import type { ImageSize } from '../../core/image-size.ts';
import { input } from '../../engine/graph/operators.ts';
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import type { ClassMix } from '../nn/conditioning.ts';
import { Network, type NetworkConfig, type TraceOptions } from '../nn/network.ts';

/** The part of a configuration that data, objectives and samplers must agree with. */
export interface DenoiserConfig extends NetworkConfig {
  readonly numClasses: number;
  /** Twice the output channels: the second half parametrises the variance. */
  readonly learnSigma: boolean;
  /** Probability that training hides the class; above 0 there is a null label for guidance. */
  readonly classDropoutProb: number;
}

/** What conditions the network. */
export interface Condition {
  /** Time as the objective counts it, float32 [N]. */
  readonly t: Tensor<'N'>;
  /** Classes, int64 [N]; `numClasses` is the null label. */
  readonly y: Tensor<'N'>;
  /** Per label embedder and sample: hide the class? Boolean [embedders, N]; absent outside training. */
  readonly dropped?: Tensor<'E N'>;
  /** Second classes that are mixed in; absent where each image is of one class. */
  readonly towards?: ClassMix | undefined;
}

/** x [N, C, H, W] and its condition → prediction [N, C or 2C, H, W]. */
export abstract class Denoiser extends Network {
  abstract override readonly config: DenoiserConfig;
  /** How many label embedders draw their dropout independently. */
  abstract readonly labelEmbedders: number;
  abstract override forward(x: Tensor<'N C H W'>, condition: Condition, options?: TraceOptions): Unlabelled;

  ports(batch: number, { height, width }: ImageSize, options: TraceOptions) {
    const x = input('x', [batch, this.config.inChannels, height, width]);
    const [t, y] = [input('t', [batch]), input('y', [batch], 'i64')];
    const prediction = (this as Denoiser).apply(x, { t, y }, options);
    return { inputs: { x, t, y }, outputs: { prediction } };
  }
}
