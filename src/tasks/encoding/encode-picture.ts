/** @file One picture as a latent of a model that draws such latents. */
import { type HostTensor, hostTensor } from '../../core/host-tensor.ts';
import type { CompileCache } from '../../engine/compile/cache.ts';
import type { Backend } from '../../engine/runtime/session.ts';
import { type DrawnLatents, denormalisationFor } from '../../models/latent-kinship.ts';
import type { UsableAutoencoder } from '../../models/saved-model.ts';
import { compileEncoder, toRange } from './latent-encoder.ts';

// C H W picture · Z h w latent

export interface PictureEncoding {
  /** What draws such latents. */
  readonly drawn: DrawnLatents;
  readonly backend: Backend;
  readonly cache?: CompileCache | undefined;
}

/**
 * The mean of the latents of a picture, as the model has them: (latent − shift) · scale.
 *
 * @param picture - `f32[C,H,W]` in [−1, 1]
 * @returns `f32[Z,h,w]`
 * @throws ConfigError if the autoencoder does not belong to these latents, or cannot encode pictures of this size
 */
export async function encodePicture(
  { network, card, weights }: UsableAutoencoder,
  picture: HostTensor<'f32'>,
  { drawn, backend, cache }: PictureEncoding,
): Promise<HostTensor<'f32'>> {
  const { scale, shift } = denormalisationFor(drawn, { card, network });
  const [, height, width] = picture.shape as [number, number, number];
  const encoder = await compileEncoder(
    { network, weights },
    { size: { height, width }, batch: 1, backend, cache },
  );
  try {
    const values = picture.data.slice();
    toRange(values, drawn.space.pictureRange ?? network.pictureRange);
    const { mean } = await encoder.encode(hostTensor('f32', [1, ...picture.shape], values));
    const area = mean.data.length / scale.length;
    const channelOf = (i: number): number => Math.floor(i / area);
    const latent = mean.data.map((value, i) => (value - shift[channelOf(i)]!) * scale[channelOf(i)]!);
    return hostTensor('f32', encoder.latentShape, latent);
  } finally {
    await encoder.release();
  }
}
