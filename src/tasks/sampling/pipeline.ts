/** @file From labels and a seed to pictures: a sampler, and where it draws latents an autoencoder behind it. */
import { ConfigError } from '../../core/errors.ts';
import type { HostTensor } from '../../core/host-tensor.ts';
import type { ImageSpace } from '../../core/image-space.ts';
import { expectOptions, type OptionTable } from '../../core/options.ts';
import type { Shape } from '../../core/shape.ts';
import { toPixels } from '../../data/images/pixels.ts';
import { spaceOf } from '../../models/saved-model.ts';
import {
  createSampler,
  type ImageSampler,
  SAMPLER_OPTIONS,
  type SampledModel,
  type SampleRequest,
  type SamplerOptions,
} from './sample.ts';

// B batch · C H W latent or picture

/** Turns latents into pictures. */
export interface LatentDecoder {
  /** @param latents - `f32[B,C,H,W]` as the model draws them; gives `f32[B,C,H,W]`, nominally in [−1, 1] */
  decode(latents: HostTensor<'f32'>): Promise<HostTensor<'f32'>>;
  /** The shape [C, H, W] of a decoded picture. */
  decodedShape(latentShape: Shape): Shape;
}

export interface PipelineOptions extends SamplerOptions {
  /** Decodes what a model of latents draws. Default: latents are handed out as they are. Not released here. */
  readonly autoencoder?: LatentDecoder | undefined;
}

const PIPELINE_OPTIONS: OptionTable<PipelineOptions> = { ...SAMPLER_OPTIONS, autoencoder: 'optional' };

export interface PictureBatch {
  /** Position of the first picture among those that were asked for. */
  readonly first: number;
  /** The class of each, [B]. */
  readonly labels: readonly number[];
  /** Pixels `u8[B,H,W,C]`, or latents `f32[B,C,H,W]`. */
  readonly pictures: HostTensor<'u8'> | HostTensor<'f32'>;
}

export interface Pipeline {
  /** What draws: its settings, workers and costs. */
  readonly sampler: ImageSampler;
  /** What is handed out. */
  readonly space: ImageSpace;
  /** Of one picture as it is handed out: [H, W, C] of pixels, [C, H, W] of latents. */
  readonly pictureShape: Shape;
  /** The pictures in their order, each batch as soon as it and those before it are finished. */
  pictures(request: SampleRequest): AsyncGenerator<PictureBatch>;
  /** Ends the sampler's workers and frees its memory. */
  release(): Promise<void>;
}

/** Programs without types may give no options. */
const NONE = {} as PipelineOptions;

/**
 * Compiles a model into what draws pictures from labels and a seed.
 *
 *     const pipeline = await createPipeline(saved, { backend: cpuBackend, steps: 4 });
 *     for await (const { pictures } of pipeline.pictures({ labels: [0, 1], seed: 7 })) console.log(pictures.shape);
 *     await pipeline.release();
 *
 * @throws ConfigError if the settings do not fit the model or each other, or an autoencoder has nothing to decode
 */
export async function createPipeline(
  saved: SampledModel,
  pipelineOptions: PipelineOptions = NONE,
): Promise<Pipeline> {
  expectOptions(pipelineOptions, 'createPipeline', PIPELINE_OPTIONS);
  const { autoencoder, ...options } = pipelineOptions;
  const drawn = spaceOf(saved.card, saved.network.config);
  if (autoencoder !== undefined && drawn.kind === 'pixels') {
    throw new ConfigError({
      where: 'createPipeline',
      problem: 'an autoencoder is given for a model that draws pixels, not latents',
      fix: 'leave the autoencoder out',
    });
  }
  const sampler = await createSampler(saved, options);
  const space: ImageSpace = autoencoder === undefined ? drawn : { kind: 'pixels' };
  const [channels, height, width] = (autoencoder?.decodedShape(sampler.imageShape) ?? sampler.imageShape) as [
    number,
    number,
    number,
  ];
  return {
    sampler,
    space,
    pictureShape: space.kind === 'pixels' ? [height, width, channels] : [channels, height, width],
    async *pictures(request) {
      for await (const { first, images } of sampler.batches(request)) {
        const decoded = autoencoder === undefined ? images : await autoencoder.decode(images);
        yield {
          first,
          labels: request.labels.slice(first, first + images.shape[0]!),
          pictures: space.kind === 'pixels' ? toPixels(decoded) : decoded,
        };
      }
    },
    release: () => sampler.release(),
  };
}
