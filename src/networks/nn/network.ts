/** @file What every network of this project is, seen from outside. */
import { type ImageSize, parseImageSize, type WrittenImageSize } from '../../core/image-size.ts';
import type { Unlabelled } from '../../engine/graph/tensor.ts';
import type { Grouping } from './conditioning.ts';
import type { InitRule } from './initialise.ts';
import { Module } from './module.ts';
import type { PositionScaling } from './position-scaling.ts';

/** What data must agree with. */
export interface NetworkConfig {
  /** Of the images or latents that it was trained on: the size at which it is traced unless told. */
  readonly inputSize: WrittenImageSize;
  /** Channels of the image or latent. */
  readonly inChannels: number;
}

/**
 * Rows and columns of the images or latents that a network was trained on.
 *
 * @throws ConfigError unless `inputSize` is a side, or a height and a width as in `48x32`
 */
export function trainedSizeOf({ inputSize }: Pick<NetworkConfig, 'inputSize'>): ImageSize {
  return parseImageSize(inputSize, 'inputSize');
}

/** How to trace. All forms and groupings compute the same function (to rounding). */
export interface TraceOptions extends Grouping {
  /**
   * `merged` folds parallel and stacked convolutions into one kernel inside the graph (faster, and foldable into
   * constants when weights are known); `branches` computes them as they were trained in the reference.
   */
  readonly form: 'merged' | 'branches';
  /** What positions outside the trained grid are. Default none. */
  readonly positionScaling?: PositionScaling | undefined;
}

/** A part of the network, as tables and drawings show it. */
export interface Stage {
  readonly name: string;
  /** Paths of the modules and parameters that it consists of. */
  readonly paths: readonly string[];
  /** Its feature map: rows and columns of tokens, and their channels. Absent where there is none. */
  readonly map?: FeatureMap;
  /** Its transformer blocks. Absent where there are none. */
  readonly blocks?: { readonly count: number; readonly heads: number };
}

export interface FeatureMap extends ImageSize {
  readonly channels: number;
}

/** Is a module or parameter of this path part of the stage? */
export function isPartOf({ paths }: Stage, path: string): boolean {
  return paths.some((start) => path === start || path.startsWith(`${start}.`));
}

/** Inputs and outputs of a traced network, by the names that sessions and files have for them. */
export interface Ports {
  readonly inputs: Readonly<Record<string, Unlabelled>>;
  readonly outputs: Readonly<Record<string, Unlabelled>>;
}

/** A network can be traced at every size that {@link Network.ports} takes; it was trained at one. */
export abstract class Network extends Module {
  abstract readonly config: NetworkConfig;
  abstract readonly initRule: InitRule;
  /** All of it, in the order of the data flow, at the trained size or another one. */
  abstract stages(size?: ImageSize): readonly Stage[];
  /** Makes inputs for `batch` images of a size, and what the network makes of them; see `traceNetwork`. */
  abstract ports(batch: number, size: ImageSize, options: TraceOptions): Ports;
}
