/** @file Latents to pictures with an autoencoder: one compiled decoder, run for a picture at a time. */
import { type HostTensor, hostTensor, tensorOf } from '../../core/host-tensor.ts';
import type { ImageSize } from '../../core/image-size.ts';
import { type Shape, sizeOf } from '../../core/shape.ts';
import type { CompileCache } from '../../engine/compile/cache.ts';
import { compileInference } from '../../engine/compile/inference.ts';
import { graphOf } from '../../engine/graph/graph.ts';
import { add, constant, input, mul } from '../../engine/graph/operators.ts';
import type { Unlabelled } from '../../engine/graph/tensor.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import { type DrawnLatents, denormalisationFor } from '../../models/latent-kinship.ts';
import type { SavedNetwork } from '../../models/saved-model.ts';
import type { LatentDecoder } from './pipeline.ts';

// B batch · Z H W latent · C H W picture

export interface DecoderOptions {
  /** What draws the latents. */
  readonly drawn: DrawnLatents;
  /** Of the latents. */
  readonly size: ImageSize;
  readonly backend: Backend;
  /** Pictures decoded at once. Default: one, on the calling thread. */
  readonly workers?: number | undefined;
  /** Threads of each worker. */
  readonly threads?: number | undefined;
  readonly cache?: CompileCache | undefined;
}

export interface CompiledDecoder extends LatentDecoder {
  /** Of the autoencoder. */
  readonly name: string;
  release(): Promise<void>;
}

/**
 * Compiles the decoder of an autoencoder for the latents of a model. Pictures come in [−1, 1], whatever the range of the
 * autoencoder.
 *
 * @throws ConfigError if it does not belong to these latents
 */
export async function createDecoder(
  { network, card, weights }: Pick<SavedNetwork<'autoencoder'>, 'network' | 'card' | 'weights'>,
  { drawn, size, backend, workers, threads, cache }: DecoderOptions,
): Promise<CompiledDecoder> {
  const { latentChannels, inChannels, factor } = network.config;
  const latents = input('latents', [1, latentChannels, size.height, size.width]);
  const { scale, shift } = denormalisationFor(drawn, { card, network });
  const perPixel = (values: readonly number[]) =>
    constant(tensorOf('f32', [1, latentChannels, 1, 1], values));
  const raw = add(mul(latents, perPixel(scale.map((value) => 1 / value))), perPixel(shift));
  const graph = graphOf({ picture: toModelRange(network.decode(raw), network.pictureRange) });
  const session = await compileInference(graph, weights, backend, {
    ...(workers === undefined ? {} : { workers }),
    ...(threads === undefined ? {} : { threads }),
    cache,
  });
  const decodeOne = async (latent: HostTensor<'f32'>) => {
    const results = await session.run(new Map([['latents', latent]]));
    return results.get('picture')!.data as Float32Array;
  };
  const decodedShape = ([, height, width]: Shape): Shape => [inChannels, height! * factor, width! * factor];
  return {
    name: card.name,
    decodedShape,
    async decode({ shape, data }) {
      const latentShape = [1, ...shape.slice(1)];
      const length = sizeOf(latentShape);
      const pictures = await Promise.all(
        Array.from({ length: shape[0]! }, (_, i) =>
          decodeOne(hostTensor('f32', latentShape, data.subarray(i * length, (i + 1) * length))),
        ),
      );
      const all = new Float32Array(pictures.reduce((sum, picture) => sum + picture.length, 0));
      for (const [i, picture] of pictures.entries()) all.set(picture, i * picture.length);
      return hostTensor('f32', [shape[0]!, ...decodedShape(shape.slice(1))], all);
    },
    release: () => session.release(),
  };
}

/** Pictures of a range as values in [−1, 1]. */
function toModelRange(picture: Unlabelled, [black, white]: readonly [number, number]): Unlabelled {
  if (black === -1 && white === 1) return picture;
  const factor = 2 / (white - black);
  return add(mul(picture, factor), -1 - black * factor);
}
