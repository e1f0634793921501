/** @file Tasks that run a network once, as graphs: a half of an autoencoder, or a network of features. */
import type { ImageSize } from '../../core/image-size.ts';
import type { Shape } from '../../core/shape.ts';
import { type Graph, graphOf } from '../../engine/graph/graph.ts';
import type { Network } from '../../networks/nn/network.ts';
import { autoencoderSpec, featureSpec } from '../../networks/presets.ts';
import { createAutoencoder, createFeatureNetwork } from '../../networks/registry.ts';
import { traceNetwork } from '../../networks/trace.ts';
import type { SingleRunTask } from './plan.ts';

export interface SingleRun {
  readonly network: Network;
  readonly graph: Graph;
  /** The input. */
  readonly feed: { readonly name: string; readonly shape: Shape };
}

/**
 * Latents of an encoder are the likeliest ones. Of features all outputs are computed.
 *
 * @param request - the size is that of the pictures; by default the one that the network was trained at
 * @throws ConfigError for an unknown preset, or pictures of a size that it cannot take
 */
export function singleRun(
  task: SingleRunTask,
  request: { readonly model: string; readonly size?: ImageSize | undefined; readonly batch: number },
): SingleRun {
  const { model, size, batch } = request;
  if (task === 'features') {
    const network = createFeatureNetwork(featureSpec(model));
    const { inputs, outputs } = traceNetwork(network, { batch, size });
    return { network, graph: graphOf(outputs), feed: { name: 'x', shape: inputs.x!.shape } };
  }
  const network = createAutoencoder(autoencoderSpec(model));
  const { inputs, outputs } = traceNetwork(network, { batch, size });
  const [name, out] =
    task === 'encode' ? (['x', outputs.latents] as const) : (['z', outputs.images] as const);
  return { network, graph: graphOf({ out }), feed: { name, shape: inputs[name].shape } };
}
