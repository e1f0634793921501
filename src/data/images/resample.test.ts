import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fold, randomIntegers, randomKey } from '../../core/random.ts';
import type { PixelImage } from './pixel-image.ts';
import { resample } from './resample.ts';

function noiseImage(width: number, height: number, channels = 3): PixelImage {
  const key = fold(randomKey(11), width, height);
  return {
    width,
    height,
    channels,
    data: Uint8Array.from(randomIntegers(key, width * height * channels, 256)),
  };
}

/** Continuous convolution in float64 with no intermediate rounding: the definition that the fixed point approximates. */
function exactBicubic(image: PixelImage, width: number, height: number): number[] {
  const kernel = (t: number) => {
    const x = Math.abs(t);
    if (x < 1) return 1.5 * x ** 3 - 2.5 * x ** 2 + 1;
    return x < 2 ? -0.5 * x ** 3 + 2.5 * x ** 2 - 4 * x + 2 : 0;
  };
  const axis = (source: number, target: number) =>
    Array.from({ length: target }, (_, i) => {
      const scale = source / target;
      const spread = Math.max(scale, 1);
      const weights = Array.from({ length: source }, (_, s) =>
        kernel((s + 0.5 - (i + 0.5) * scale) / spread),
      );
      const sum = weights.reduce((a, b) => a + b, 0);
      return weights.map((weight) => weight / sum);
    });
  const [rows, columns] = [axis(image.height, height), axis(image.width, width)];
  return rows.flatMap((rowWeights) =>
    columns.flatMap((columnWeights) =>
      Array.from({ length: image.channels }, (_, c) => {
        let value = 0;
        rowWeights.forEach((wy, y) => {
          columnWeights.forEach((wx, x) => {
            value += wy * wx * image.data[(y * image.width + x) * image.channels + c]!;
          });
        });
        return value;
      }),
    ),
  );
}

describe('resample', () => {
  it('averages 2×2 blocks, halves rounded up after each pass', () => {
    const image: PixelImage = {
      width: 4,
      height: 2,
      channels: 1,
      data: Uint8Array.of(0, 1, 10, 20, 0, 0, 30, 40),
    };
    // Rows: 0.5 → 1, 15; 0, 35. Columns: 0.5 → 1, 25.
    expect([...resample(image, 2, 1, 'box').data]).toEqual([1, 25]);
  });

  it.each([
    [9, 13, 20, 7],
    [16, 16, 5, 5],
    [6, 5, 17, 19],
  ])('bicubic %d×%d → %d×%d stays within the roundings of the exact convolution', (w, h, toW, toH) => {
    const image = noiseImage(w, h);
    const exact = exactBicubic(image, toW, toH).map((value) => Math.min(255, Math.max(0, value)));
    const { data } = resample(image, toW, toH, 'bicubic');
    const differences = exact.map((value, i) => Math.abs(value - data[i]!));
    // The clamp of the first pass loses overshoot that the exact two-dimensional sum keeps; it is rare.
    expect(differences.filter((difference) => difference > 1.2).length).toBeLessThan(0.1 * exact.length);
    expect(differences.reduce((a, b) => a + b) / exact.length).toBeLessThan(0.6);
  });

  it('keeps a flat picture flat and a picture of the same size unchanged', () => {
    fc.assert(
      fc.property(
        fc.record({
          w: size(),
          h: size(),
          toW: size(),
          toH: size(),
          level: fc.integer({ min: 0, max: 255 }),
        }),
        fc.constantFrom('box' as const, 'bicubic' as const),
        ({ w, h, toW, toH, level }, filter) => {
          const flat = { width: w, height: h, channels: 1, data: new Uint8Array(w * h).fill(level) };
          const resized = resample(flat, toW, toH, filter);
          expect(resized.data).toEqual(new Uint8Array(toW * toH).fill(level));
          const noise = noiseImage(w, h);
          expect(resample(noise, w, h, filter).data).toEqual(noise.data);
        },
      ),
    );
  });
});

function size(): fc.Arbitrary<number> {
  return fc.integer({ min: 1, max: 40 });
}
