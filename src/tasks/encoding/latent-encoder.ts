/** @file Pictures to latents: the encoding half of an autoencoder, compiled for batches of one size. */
import { ConfigError } from '../../core/errors.ts';
import type { HostTensor } from '../../core/host-tensor.ts';
import { formatImageSize, type ImageSize } from '../../core/image-size.ts';
import { sizeOf } from '../../core/shape.ts';
import type { CompileCache } from '../../engine/compile/cache.ts';
import { compileInference } from '../../engine/compile/inference.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import type { Unlabelled } from '../../engine/graph/tensor.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import type { UsableAutoencoder } from '../../models/saved-model.ts';
import { traceNetwork } from '../../networks/trace.ts';

// B batch · C H W picture · Z h w latent

export interface EncoderOptions {
  readonly size: ImageSize;
  /** Pictures at once. */
  readonly batch: number;
  readonly backend: Backend;
  /** Runs that go on at once, each in a thread of its own; by default the calling thread is kept. */
  readonly workers?: number | undefined;
  readonly cache?: CompileCache | undefined;
}

/** Distributions of latents; of an autoencoder that is not variational their means alone. */
export interface Encoded {
  /** `f32[B,Z,h,w]` */
  readonly mean: HostTensor<'f32'>;
  readonly std?: HostTensor<'f32'>;
}

export interface LatentEncoder {
  readonly batch: number;
  /** [Z, h, w] */
  readonly latentShape: readonly [channels: number, height: number, width: number];
  readonly isVariational: boolean;
  /** @param x - `f32[B,C,H,W]`, in the range that the autoencoder takes */
  encode(x: HostTensor<'f32'>): Promise<Encoded>;
  release(): Promise<void>;
}

/** Bytes of the distributions of one picture as `f32`, before anything is compiled. */
export function latentBytes(network: UsableAutoencoder['network'], size: ImageSize): number {
  const { latentShape, isVariational } = traceEncoder(network, { size, batch: 1 });
  return (isVariational ? 2 : 1) * sizeOf(latentShape) * Float32Array.BYTES_PER_ELEMENT;
}

/** @throws ConfigError if pictures of this size cannot be encoded */
export async function compileEncoder(
  { network, weights }: Pick<UsableAutoencoder, 'network' | 'weights'>,
  { backend, workers, cache, ...sizes }: EncoderOptions,
): Promise<LatentEncoder> {
  const { graph, ...latents } = traceEncoder(network, sizes);
  const session = await compileInference(graph, weights, backend, {
    ...(workers === undefined ? {} : { workers }),
    ...(cache === undefined ? {} : { cache }),
  });
  return {
    ...latents,
    batch: sizes.batch,
    async encode(x) {
      const encoded = await session.run(new Map([['x', x]]));
      const [mean, std] = ['mean', 'std'].map((name) => encoded.get(name) as HostTensor<'f32'> | undefined);
      return { mean: mean!, ...(std === undefined ? {} : { std }) };
    },
    release: () => session.release(),
  };
}

function traceEncoder(
  network: UsableAutoencoder['network'],
  { size, batch }: Pick<EncoderOptions, 'size' | 'batch'>,
) {
  const { factor, latentChannels } = network.config;
  const { height, width } = size;
  if (height % factor !== 0 || width % factor !== 0) {
    const next = (side: number) => Math.ceil(side / factor) * factor;
    throw new ConfigError({
      where: '--image-size',
      problem: `${formatImageSize(size)} is no multiple of ${factor}, the factor of the autoencoder`,
      fix: `use ${formatImageSize({ height: next(height), width: next(width) })}`,
    });
  }
  const outputs: Readonly<Record<string, Unlabelled>> = traceNetwork(network, { batch, size }).outputs;
  const { latents, deviations } = outputs;
  const graph = graphOf({ mean: latents!, ...(deviations === undefined ? {} : { std: deviations }) });
  const latentShape = [latentChannels, height / factor, width / factor] as const;
  return { graph, latentShape, isVariational: deviations !== undefined };
}

/** From [−1, 1] to the range that an autoencoder is given, in place. */
export function toRange(values: Float32Array, [black, white]: readonly [number, number]): void {
  if (black === -1 && white === 1) return;
  const scale = (white - black) / 2;
  for (let i = 0; i < values.length; i++) values[i] = (values[i]! + 1) * scale + black;
}
