/** @file Networks as graphs: the one place that makes their inputs. A network is traced at a size, it does not have one. */
import type { ImageSize } from '../core/image-size.ts';
import { type Network, type NetworkConfig, type TraceOptions, trainedSizeOf } from './nn/network.ts';

/** At which size, and how. */
export interface TraceAt extends Partial<TraceOptions> {
  /** In pixels, or in latents for a model of latents. Default: the one that the network was trained at. */
  readonly size?: ImageSize | undefined;
}

export interface NetworkTrace extends TraceAt {
  /** Images at once. Default 1. */
  readonly batch?: number;
}

/**
 * A network on inputs of its own. Those of a denoiser are `x` [N, C, H, W], `t` [N] and `y` [N], and its output is the
 * `prediction`.
 *
 *     const { outputs } = traceNetwork(network, { size: { height: 48, width: 32 } });
 *     formatGraph(graphOf(outputs));
 *
 * @throws ConfigError if the network cannot be traced at this size
 */
export function traceNetwork<N extends Network>(
  network: N,
  { batch = 1, size = trainedSizeOf(network.config), form = 'merged', ...options }: NetworkTrace = {},
): ReturnType<N['ports']> {
  return network.ports(batch, size, { form, ...options }) as ReturnType<N['ports']>;
}

/** [C, H, W] of a network's images. */
export function imageShapeOf(
  config: NetworkConfig,
  { height, width }: ImageSize = trainedSizeOf(config),
): readonly [channels: number, height: number, width: number] {
  return [config.inChannels, height, width];
}
