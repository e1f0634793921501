/** @file Latents as pictures of their own size where no autoencoder decodes them: a linear map of channels to colours. */
import { hostTensor } from '../../core/host-tensor.ts';
import { type Denormalisation, type DrawnLatents, inUsualScale } from '../../models/latent-kinship.ts';
import type { LatentDecoder } from './pipeline.ts';

/** Shows latents, and says how. */
export interface PreviewDecoder extends LatentDecoder {
  /** Goes on a sentence about pictures, such as `decoded by TAESD`. */
  readonly how: string;
}

/**
 * Red, green and blue in [−1, 1] of each channel of Stable Diffusion's latents at their usual scale, as Kevin Turner found them
 * for its version 1.4. https://discuss.huggingface.co/t/decoding-latents-to-rgb-without-upscaling/23204/2
 */
const COLOURS_OF_STABLE_DIFFUSION = [
  [0.298, 0.207, 0.208],
  [0.187, 0.286, 0.173],
  [-0.158, 0.189, 0.264],
  [-0.184, -0.271, -0.473],
] as const;

/** Nearly all scaled latents lie within so many deviations. */
const RANGE = 3;
const COLOURS = 3;

/** Latents in the colours that their autoencoder's pictures about have, where these are known; else any colours. */
export function latentColours({ space, config }: DrawnLatents): PreviewDecoder {
  const { inChannels } = config;
  const usual = inUsualScale(space, inChannels);
  if (usual === undefined || inChannels !== COLOURS_OF_STABLE_DIFFUSION.length) {
    const shares = Array.from({ length: inChannels }, (_, channel) =>
      Array.from({ length: COLOURS }, (_, colour) =>
        channel === Math.min(colour, inChannels - 1) ? 1 / RANGE : 0,
      ),
    );
    return { how: 'as colours of their first three channels', ...linearMap(shares) };
  }
  return {
    how: 'as colours by a linear map of their four channels',
    ...linearMap(COLOURS_OF_STABLE_DIFFUSION, usual),
  };
}

/** @param shares - of each colour, by channel: colour = Σ share · (latent / scale + shift) */
function linearMap(
  shares: readonly (readonly number[])[],
  { scale, shift }: Denormalisation = { scale: shares.map(() => 1), shift: shares.map(() => 0) },
): LatentDecoder {
  return {
    async decode({ shape: [batch = 0, channels = 0, height = 0, width = 0], data }) {
      const area = height * width;
      const shown = new Float32Array(batch * COLOURS * area);
      for (let picture = 0; picture < batch; picture++) {
        for (let channel = 0; channel < channels; channel++) {
          const latent = data.subarray((picture * channels + channel) * area);
          for (let colour = 0; colour < COLOURS; colour++) {
            const share = shares[channel]![colour]!;
            const to = (picture * COLOURS + colour) * area;
            for (let i = 0; i < area; i++) {
              shown[to + i]! += share * (latent[i]! / scale[channel]! + shift[channel]!);
            }
          }
        }
      }
      return hostTensor('f32', [batch, COLOURS, height, width], shown);
    },
    decodedShape: ([, height = 0, width = 0]) => [COLOURS, height, width],
  };
}
