/** @file Latents as pictures where no autoencoder decodes them: shapes can be seen, colours mean nothing. */
import { hostTensor } from '../../core/host-tensor.ts';
import type { LatentDecoder } from './pipeline.ts';

/** Nearly all scaled latents lie within so many deviations. */
const RANGE = 3;
const COLOURS = 3;

/** Shows the first three channels of a latent as red, green and blue. */
export const LATENT_COLOURS: LatentDecoder = {
  async decode({ shape: [batch = 0, channels = 0, height = 0, width = 0], data }) {
    const area = height * width;
    const shown = new Float32Array(batch * COLOURS * area);
    for (let picture = 0; picture < batch; picture++) {
      for (let colour = 0; colour < COLOURS; colour++) {
        const from = (picture * channels + Math.min(colour, channels - 1)) * area;
        const to = (picture * COLOURS + colour) * area;
        for (let i = 0; i < area; i++) shown[to + i] = data[from + i]! / RANGE;
      }
    }
    return hostTensor('f32', [batch, COLOURS, height, width], shown);
  },
  decodedShape: ([, height = 0, width = 0]) => [COLOURS, height, width],
};
