import { expect, test } from 'vitest';
import { hostTensor, tensorOf } from '../../core/host-tensor.ts';
import { type LatentSpace, USUAL_LATENTS } from '../../core/image-space.ts';
import { latentColours } from './latent-colours.ts';

const drawnBy = (space: Partial<LatentSpace>, inChannels = 4) => ({
  name: 'mine',
  space: { ...USUAL_LATENTS, ...space },
  config: { inChannels },
});

test("latents of Stable Diffusion get the linear map's colours, whatever scale the model has them in", async () => {
  const usual = latentColours(drawnBy({}));
  expect(usual.how).toBe('as colours by a linear map of their four channels');
  expect(usual.decodedShape([4, 1, 2])).toEqual([3, 1, 2]);
  // Two pixels: one of the second channel alone, one of the first and the fourth.
  const latents = tensorOf('f32', [1, 4, 1, 2], [0, 1, 2, 0, 0, 0, 0, -1]);
  const shown = await usual.decode(latents);
  expect(shown.shape).toEqual([1, 3, 1, 2]);
  const expected = [2 * 0.187, 0.298 + 0.184, 2 * 0.286, 0.207 + 0.271, 2 * 0.173, 0.208 + 0.473];
  expect(Array.from(shown.data)).toEqual(expected.map((value) => expect.closeTo(value, 6)));
  // (v − shift) · scale for the model is 0.18215 · v at the usual scale.
  const own = latentColours(
    drawnBy({ autoencoder: 'sd-vae-ft-mse', scale: [1, 2, 4, 8], shift: [3, 0, 1, -1] }),
  );
  const [scale, shift] = [
    [1, 2, 4, 8],
    [3, 0, 1, -1],
  ];
  const rescaled = latents.data.map((value, i) => (value / 0.18215 - shift[i >> 1]!) * scale[i >> 1]!);
  const { data } = await own.decode(hostTensor('f32', [1, 4, 1, 2], rescaled));
  expect(Array.from(data)).toEqual(expected.map((value) => expect.closeTo(value, 5)));
});

test('others are shown by their first three channels, of each picture on its own', async () => {
  for (const drawn of [drawnBy({ autoencoder: 'cats-ae' }), drawnBy({ autoencoder: 'TAEF1' }, 16)]) {
    const { how, decode } = latentColours(drawn);
    expect(how).toBe('as colours of their first three channels');
    const { inChannels } = drawn.config;
    const values = Float32Array.from({ length: 2 * inChannels }, (_, i) => i);
    const { data } = await decode(hostTensor('f32', [2, inChannels, 1, 1], values));
    const first = [0, 1, 2, inChannels, inChannels + 1, inChannels + 2];
    expect(Array.from(data)).toEqual(first.map((value) => expect.closeTo(value / 3, 5)));
  }
});
