import { describe, expect, test } from 'vitest';
import { type LatentSpace, USUAL_LATENTS } from '../core/image-space.ts';
import { type Decoder, denormalisationFor } from './latent-kinship.ts';

const latents = (changes: Partial<LatentSpace> = {}): LatentSpace => ({ ...USUAL_LATENTS, ...changes });
const drawnBy = (space: LatentSpace, inChannels = 4) => ({ name: 'mine', space, config: { inChannels } });
const decoder = (name: string, space: LatentSpace, latentChannels = 4): Decoder => ({
  card: { name, space },
  network: { config: { latentChannels, factor: space.factor, inputSize: 256, inChannels: 3 } },
});
const TINY = { scale: 1, shift: 0 };

describe('a decoder takes latent / scale + shift', () => {
  test("of the model's own, as the model has them", () => {
    const own = decoder('sd-vae-ft-mse', latents({ autoencoder: 'sd-vae-ft-mse' }));
    const { scale, shift } = denormalisationFor(drawnBy(latents({ autoencoder: 'sd-vae-ft-ema' })), own);
    expect([scale, shift]).toEqual([new Array(4).fill(0.18215), new Array(4).fill(0)]);
  });

  test('of a tiny one, as they are', () => {
    const tiny = decoder('TAESD', latents({ autoencoder: 'TAESD', ...TINY }));
    const { scale, shift } = denormalisationFor(drawnBy(latents()), tiny);
    expect([scale, shift]).toEqual([new Array(4).fill(1), new Array(4).fill(0)]);
  });

  test('of a tiny one, where each channel of the model has its own scale', () => {
    const space = latents({ autoencoder: 'sd-vae-ft-mse', scale: [1, 2, 4, 8], shift: [3, 0, 0, -1] });
    const tiny = decoder('TAESD', latents({ autoencoder: 'TAESD', ...TINY }));
    const { scale, shift } = denormalisationFor(drawnBy(space), tiny);
    // A latent v of the autoencoder is (v − shift) · scale for the model, and 0.18215 · v for the tiny one.
    for (const [c, v] of [5, -2, 0.5, 7].entries()) {
      const drawn = (v - (space.shift as number[])[c]!) * (space.scale as number[])[c]!;
      expect(drawn / scale[c]! + shift[c]!).toBeCloseTo(0.18215 * v, 12);
    }
  });

  test('of one of its own, as the model has them', () => {
    const space = latents({ autoencoder: 'mine', factor: 4, scale: 0.5, shift: 1 });
    const { scale, shift } = denormalisationFor(drawnBy(space, 2), decoder('mine', { ...space, ...TINY }, 2));
    expect([scale, shift]).toEqual([
      [0.5, 0.5],
      [1, 1],
    ]);
  });
});

describe('is refused with both names', () => {
  test('of latents of another model', () => {
    const xl = decoder('TAESDXL', latents({ autoencoder: 'TAESDXL', ...TINY }));
    expect(() => denormalisationFor(drawnBy(latents()), xl)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: TAESDXL: mine draws latents of Stable Diffusion, TAESDXL decodes those of SDXL
        fix: decode with sd-vae-ft-ema or sd-vae-ft-mse or TAESD]
    `);
    const own = drawnBy(latents({ autoencoder: 'cats-ae' }));
    const sd = decoder('sd-vae-ft-ema', latents({ autoencoder: 'sd-vae-ft-ema' }));
    expect(() => denormalisationFor(own, sd)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: sd-vae-ft-ema: mine draws latents of cats-ae, sd-vae-ft-ema decodes those of Stable Diffusion
        fix: decode with cats-ae]
    `);
  });

  test('of another shape', () => {
    const other = decoder('TAEF2', latents({ autoencoder: 'TAEF2', ...TINY }), 32);
    expect(() => denormalisationFor(drawnBy(latents()), other)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: TAEF2: mine draws latents of 4 channels at 1/8 of the side, TAEF2 decodes 32 channels at 1/8
        fix: decode with sd-vae-ft-ema or sd-vae-ft-mse or TAESD]
    `);
    const finer = decoder('fine', latents({ factor: 4 }));
    expect(() => denormalisationFor(drawnBy(latents()), finer)).toThrowErrorMatchingInlineSnapshot(`
      [ConfigError: ConfigError: fine: mine draws latents of 4 channels at 1/8 of the side, fine decodes 4 channels at 1/4
        fix: decode with sd-vae-ft-ema or sd-vae-ft-mse or TAESD]
    `);
  });
});
