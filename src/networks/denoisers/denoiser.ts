/** @file What every diffusion transformer of this project is, seen from outside. */
import type { Tensor, Unlabelled } from '../../engine/graph/tensor.ts';
import type { Grouping } from '../nn/conditioning.ts';
import type { InitRule } from '../nn/initialise.ts';
import { Module } from '../nn/module.ts';

/** The part of a configuration that data, objectives and samplers must agree with. */
export interface DenoiserConfig {
  /** Side of the square image or latent. */
  readonly inputSize: number;
  /** Channels of the image or latent. */
  readonly inChannels: number;
  readonly numClasses: number;
  /** Twice the output channels: the second half parametrises the variance. */
  readonly learnSigma: boolean;
  /** Probability that training hides the class; above 0 there is a null label for guidance. */
  readonly classDropoutProb: number;
}

/** How to trace. All ways compute the same function (to rounding). */
export interface TraceOptions extends Grouping {
  /**
   * `merged` folds parallel and stacked convolutions into one kernel inside the graph (faster, and foldable into
   * constants when weights are known); `branches` computes them as they were trained in the reference.
   */
  readonly form: 'merged' | 'branches';
}

/** What conditions the network. */
export interface Condition {
  /** Time as the objective counts it, float32 [N]. */
  readonly t: Tensor<'N'>;
  /** Classes, int64 [N]; `numClasses` is the null label. */
  readonly y: Tensor<'N'>;
  /** Per label embedder and sample: hide the class? Boolean [embedders, N]; absent outside training. */
  readonly dropped?: Tensor<'E N'>;
}

/** A part of the network, as tables and drawings show it. */
export interface Stage {
  readonly name: string;
  /** Paths of the modules and parameters that it consists of. */
  readonly paths: readonly string[];
  /** Its feature map: tokens along a side, and channels. Absent where there is none. */
  readonly map?: { readonly side: number; readonly width: number };
  /** Its transformer blocks. Absent where there are none. */
  readonly blocks?: { readonly count: number; readonly heads: number };
}

/** Is a module or parameter of this path part of the stage? */
export function isPartOf({ paths }: Stage, path: string): boolean {
  return paths.some((start) => path === start || path.startsWith(`${start}.`));
}

/** x [N, C, H, W] and its condition → prediction [N, C or 2C, H, W]. */
export abstract class Denoiser extends Module {
  abstract readonly config: DenoiserConfig;
  /** How many label embedders draw their dropout independently. */
  abstract readonly labelEmbedders: number;
  abstract readonly initRule: InitRule;
  /** All of it, in the order of the data flow. */
  abstract get stages(): readonly Stage[];
  abstract override forward(x: Tensor<'N C H W'>, condition: Condition, options?: TraceOptions): Unlabelled;
}
