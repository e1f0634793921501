/** @file Pictures that lie encoded: their latents are decoded when they are needed. */
import type { HostTensor } from '../../core/host-tensor.ts';
import type { LatentSpace } from '../../core/image-space.ts';
import type { Shape } from '../../core/shape.ts';
import { toPixels } from '../../data/images/pixels.ts';
import type { CompiledDecoder } from '../sampling/latent-decoder.ts';
import type { PictureSource } from './picture-source.ts';

// B batch · C H W latent

export interface StoredLatents
  extends Pick<PictureSource, 'name' | 'count' | 'identity' | 'labels' | 'close'> {
  /** Of one latent. */
  readonly shape: readonly [channels: number, height: number, width: number];
  /** Undefined where the file does not tell: then the autoencoder decides. */
  readonly space: LatentSpace | undefined;
  /** Latents from number `start` on, as a model draws them: `f32[B,C,H,W]`. */
  batches(start: number): AsyncGenerator<HostTensor<'f32'>>;
}

/** A decoder, and which weights it has, on any machine. */
export interface EvaluationDecoder {
  readonly decoder: CompiledDecoder;
  readonly weights: string;
}

/** The decoder belongs to the pictures, and is released with them. */
export function decodedPictures(
  { shape, space: _, batches, close, ...latents }: StoredLatents,
  { decoder, weights }: EvaluationDecoder,
): PictureSource {
  const [, height, width] = decoder.decodedShape(shape as Shape) as [number, number, number];
  return {
    ...latents,
    kind: 'latents',
    size: { height, width },
    identity: { latents: latents.identity, weights },
    doubts: [],
    provenance: { decoder: weights, rounding: 'clamp(127.5 x + 128), truncated' },
    async *batches(start) {
      for await (const each of batches(start)) yield toPixels(await decoder.decode(each));
    },
    async close() {
      await close();
      await decoder.release();
    },
  };
}
