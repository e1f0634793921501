/** @file The half of an autoencoder that is measured, as a graph. */
import type { ImageSize } from '../../core/image-size.ts';
import type { Shape } from '../../core/shape.ts';
import { type Graph, graphOf } from '../../engine/graph/graph.ts';
import type { Autoencoder } from '../../networks/autoencoders/autoencoder.ts';
import { autoencoderSpec } from '../../networks/presets.ts';
import { createAutoencoder } from '../../networks/registry.ts';
import { traceNetwork } from '../../networks/trace.ts';
import type { AutoencoderTask } from './plan.ts';

export interface AutoencoderHalf {
  readonly network: Autoencoder;
  readonly graph: Graph;
  /** The input. */
  readonly feed: { readonly name: string; readonly shape: Shape };
}

/**
 * Latents of an encoder are the likeliest ones.
 *
 * @throws ConfigError for an unknown preset, or pictures of a size that it cannot take
 */
export function autoencoderHalf(
  task: AutoencoderTask,
  {
    model,
    size,
    batch,
  }: { readonly model: string; readonly size?: ImageSize | undefined; readonly batch: number },
): AutoencoderHalf {
  const network = createAutoencoder(autoencoderSpec(model));
  const { inputs, outputs } = traceNetwork(network, { batch, size });
  const [name, out] =
    task === 'encode' ? (['x', outputs.latents] as const) : (['z', outputs.images] as const);
  return { network, graph: graphOf({ out }), feed: { name, shape: inputs[name].shape } };
}
