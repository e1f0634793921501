/** @file Pictures of a model that are drawn when they are needed, an equal share of each class in a random order. */
import { ConfigError } from '../../core/errors.ts';
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import { spaceOf } from '../../models/saved-model.ts';
import { drawOfImages, imagesPerClass, shuffled } from '../sampling/draw.ts';
import { createPipeline, type PipelineOptions } from '../sampling/pipeline.ts';
import type { SampledModel } from '../sampling/sample.ts';
import type { EvaluationDecoder } from './latent-pictures.ts';
import type { PictureSource } from './picture-source.ts';

export interface ModelPicturesOptions extends Omit<PipelineOptions, 'images' | 'autoencoder'> {
  readonly name: string;
  /** How many pictures. */
  readonly count: number;
  readonly seed: number;
  /** Which weights these are, on any machine. */
  readonly weights: string;
  /** Decodes the latents of a model that draws such; released with the pictures. */
  readonly decoding?: EvaluationDecoder | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * @throws ConfigError if the model draws latents and there is no autoencoder
 */
export async function modelPictures(
  saved: SampledModel,
  { name, count, seed, weights, decoding, signal, ...options }: ModelPicturesOptions,
): Promise<PictureSource> {
  const { config } = saved.network;
  if (spaceOf(saved.card, config).kind === 'latents' && decoding === undefined) {
    throw new ConfigError({
      where: name,
      problem: 'it draws latents, which are no pictures',
      fix: 'name the autoencoder that decodes them',
    });
  }
  const shares = Array.from(
    { length: config.numClasses },
    (_, label) => Math.floor(count / config.numClasses) + (label < count % config.numClasses ? 1 : 0),
  );
  const images = shares.flatMap((share, label) => imagesPerClass([label], share));
  const { labels, indices } = drawOfImages(shuffled(images, seed), config.numClasses);
  const pipeline = await createPipeline(saved, {
    ...options,
    images: count,
    autoencoder: decoding?.decoder,
  });
  const [height, width] = pipeline.pictureShape as [number, number, number];
  const { settings } = pipeline.sampler;
  const decoder = decoding && { decoder: decoding.weights };
  return {
    name,
    kind: 'model',
    count,
    size: { height, width },
    identity: { weights, ...decoder, settings, seed, count, size: { height, width } },
    labels,
    doubts: [],
    provenance: {
      weights,
      ...decoder,
      ...settings,
      seed,
      classes: 'equal shares',
      rounding: 'clamp(127.5 x + 128), truncated',
    },
    async *batches(start) {
      const request = {
        labels: labels.slice(start),
        indices: indices.slice(start),
        seed,
        ...(signal && { signal }),
      };
      for await (const { pictures } of pipeline.pictures(request)) {
        yield hostTensor('u8', pictures.shape, pictures.data as Uint8Array) as HostTensor<'u8'>;
      }
    },
    async close() {
      await pipeline.release();
      await decoding?.decoder.release();
    },
  };
}
