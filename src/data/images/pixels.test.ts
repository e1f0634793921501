import { describe, expect, it } from 'vitest';
import { tensorOf } from '../../core/host-tensor.ts';
import { imageAt, toPixels, writeModelValues } from './pixels.ts';

describe('toPixels', () => {
  it('clamps to 0 … 255 and truncates', () => {
    const x = tensorOf('f32', [1, 1, 1, 8], [-2, -1, -0.999, 0, 0.5, 0.999, 1, 3]);
    // 127.5 · -0.999 + 128 = 0.6275 → 0; 127.5 · 0.5 + 128 = 191.75 → 191; 127.5 + 128 = 255.5 → 255.
    expect([...toPixels(x).data]).toEqual([0, 0, 0, 128, 191, 255, 255, 255]);
  });

  it('moves channels last, picture by picture', () => {
    const level = (byte: number) => (byte - 128 + 0.25) / 127.5;
    const x = tensorOf('f32', [2, 3, 1, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map(level));
    const pixels = toPixels(x);
    expect(pixels.shape).toEqual([2, 1, 2, 3]);
    expect([...pixels.data]).toEqual([1, 3, 5, 2, 4, 6, 7, 9, 11, 8, 10, 12]);
    expect([...imageAt(pixels, 1).data]).toEqual([7, 9, 11, 8, 10, 12]);
  });
});

describe('writeModelValues', () => {
  const picture = { width: 2, height: 1, channels: 3, data: Uint8Array.of(0, 51, 255, 102, 204, 128) };

  it('maps bytes to [-1, 1], channels first', () => {
    const out = new Float32Array(6);
    writeModelValues(picture, out);
    const expected = [-1, -0.2, -0.6, 0.6, 1, 1 / 255];
    out.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 6);
    });
  });

  it('mirrors left and right', () => {
    const [plain, mirrored] = [new Float32Array(6), new Float32Array(6)];
    writeModelValues(picture, plain);
    writeModelValues(picture, mirrored, true);
    expect([...mirrored]).toEqual([1, 0, 3, 2, 5, 4].map((i) => plain[i]));
  });

  it('returns to the same byte through toPixels', () => {
    const data = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const out = new Float32Array(256);
    writeModelValues({ width: 256, height: 1, channels: 1, data }, out);
    const bytes = toPixels({ dtype: 'f32', shape: [1, 1, 1, 256], data: out }).data;
    expect(bytes).toEqual(data);
  });
});
