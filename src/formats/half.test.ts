import { describe, expect, test } from 'vitest';
import { bfloatsToFloats, bytesToFloats, floatsToHalves, HALF_MAX, halvesToFloats } from './half.ts';

const ALL_HALVES = Uint16Array.from({ length: 0x10000 }, (_, half) => half);

/** Value by definition: (-1)^sign · 2^(exponent-15) · (1 + mantissa/1024), or 2^-14 · mantissa/1024 for exponent 0. */
function valueByDefinition(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = (half & 0x3ff) / 1024;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? 2 ** -14 * fraction : 2 ** (exponent - 15) * (1 + fraction));
}

const floatToHalf = (value: number): number => floatsToHalves(Float32Array.of(value))[0]!;

function nextFloat(value: number, direction: 1 | -1): number {
  const floats = new Float32Array([value]);
  const bits = new Int32Array(floats.buffer);
  bits[0]! += direction;
  return floats[0]!;
}

describe('all 65,536 halves', () => {
  test('widen to their value by definition', () => {
    const floats = halvesToFloats(ALL_HALVES);
    const wrong = ALL_HALVES.filter((half) => !Object.is(floats[half], valueByDefinition(half)));
    expect(Array.from(wrong)).toEqual([]);
  });

  test('return from single precision as the same bits; a NaN stays a quiet NaN', () => {
    const halves = floatsToHalves(halvesToFloats(ALL_HALVES));
    const isNaNHalf = (half: number) => (half & 0x7fff) > 0x7c00;
    const wrong = ALL_HALVES.filter((half) => halves[half] !== (isNaNHalf(half) ? half | 0x200 : half));
    expect(Array.from(wrong)).toEqual([]);
  });
});

describe('rounding', () => {
  test('midpoints go to the even neighbour, anything beside them to the nearer one', () => {
    const wrong: number[] = [];
    for (let half = 0; half < 0x7c00; half++) {
      const above = half === 0x7bff ? 2 ** 16 : valueByDefinition(half + 1);
      const midpoint = (valueByDefinition(half) + above) / 2;
      const even = half % 2 === 0 ? half : half + 1;
      for (const [sign, signBit] of [[1, 0] as const, [-1, 0x8000] as const]) {
        const rounded = [midpoint, nextFloat(midpoint, -1), nextFloat(midpoint, 1)].map((x) =>
          floatToHalf(sign * x),
        );
        const expected = [even, half, half + 1].map((bits) => bits | signBit);
        if (rounded.some((bits, i) => bits !== expected[i])) wrong.push(half);
      }
    }
    expect(wrong).toEqual([]);
  });

  test.each([
    ['largest finite', HALF_MAX, 0x7bff],
    ['just below the tie with infinity', nextFloat(65520, -1), 0x7bff],
    ['tie with infinity', 65520, 0x7c00],
    ['far beyond', 1e30, 0x7c00],
    ['negative infinity', Number.NEGATIVE_INFINITY, 0xfc00],
    ['negative zero', -0, 0x8000],
    ['smallest subnormal float', 2 ** -149, 0],
    ['NaN', Number.NaN, 0x7e00],
  ])('%s', (_, value, half) => {
    expect(floatToHalf(value)).toBe(half);
  });

  test('a NaN whose payload lies in the dropped bits does not become infinite', () => {
    const signalling = new Float32Array(Uint32Array.of(0x7f800001).buffer);
    expect(floatsToHalves(signalling)[0]).toBe(0x7e00);
  });
});

test('bfloat16 is the upper half of a float', () => {
  const floats = bfloatsToFloats(Uint16Array.of(0x3f80, 0xc040, 0x7f80, 0x0001));
  expect(Array.from(floats)).toEqual([1, -3, Number.POSITIVE_INFINITY, 2 ** -133]);
});

describe('all 256 bytes as floats', () => {
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  /** (-1)^sign · 2^(exponent-bias) · (1 + fraction), or 2^(1-bias) · fraction for exponent 0. */
  const byDefinition = (byte: number, mantissaBits: number, bias: number): number => {
    const exponent = (byte & 0x7f) >>> mantissaBits;
    const fraction = (byte & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
    const magnitude = exponent === 0 ? 2 ** (1 - bias) * fraction : 2 ** (exponent - bias) * (1 + fraction);
    return byte & 0x80 ? -magnitude : magnitude;
  };

  test('e4m3fn: the two of largest magnitude are no numbers, and none is infinite', () => {
    const expected = Array.from(all, (byte) =>
      (byte & 0x7f) === 0x7f ? Number.NaN : byDefinition(byte, 3, 7),
    );
    expect(Array.from(bytesToFloats(all, 'e4m3fn'))).toEqual(expected);
  });

  test('e5m2: as halves, the largest exponent is that of infinity and of what is no number', () => {
    const special = (byte: number) =>
      byte & 3 ? Number.NaN : (byte & 0x80 ? -1 : 1) * Number.POSITIVE_INFINITY;
    const expected = Array.from(all, (byte) =>
      (byte & 0x7c) === 0x7c ? special(byte) : byDefinition(byte, 2, 15),
    );
    expect(Array.from(bytesToFloats(all, 'e5m2'))).toEqual(expected);
  });
});
