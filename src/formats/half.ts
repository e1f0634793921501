/** @file Floats of 16 and 8 bits as bit patterns in integers: IEEE 754 half precision (binary16), bfloat16, and bytes. */

/** Largest finite half; what rounds beyond it becomes infinite. */
export const HALF_MAX = 65504;

const floatOf = new Float32Array(1);
const bitsOf = new Uint32Array(floatOf.buffer);

/** The halves nearest to `values`, ties to even; magnitudes from 65520 become infinite and NaN stays NaN. */
export function floatsToHalves(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < halves.length; i++) halves[i] = roundToHalf(bits[i]!);
  return halves;
}

/** Exact: every half is a single-precision number. NaN payloads keep their leading ten bits. */
export function halvesToFloats(halves: Uint16Array): Float32Array {
  const table = widenedHalves();
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < bits.length; i++) bits[i] = table[halves[i]!]!;
  return new Float32Array(bits.buffer);
}

/** Exact: a bfloat16 is the upper half of a single-precision number. */
export function bfloatsToFloats(bfloats: Uint16Array): Float32Array {
  const bits = new Uint32Array(bfloats.length);
  for (let i = 0; i < bits.length; i++) bits[i] = bfloats[i]! << 16;
  return new Float32Array(bits.buffer);
}

/**
 * Floats of one byte (OCP 8-bit floating point, 2023; e8m0fnu of the microscaling formats), by how many bits of exponent
 * and mantissa they have. "fn": finite, with NaN, without infinities; "u": unsigned.
 */
export type SmallFloat = 'e4m3fn' | 'e5m2' | 'e8m0fnu';

const SMALL_FLOAT_VALUES: Readonly<Record<SmallFloat, (byte: number) => number>> = {
  e4m3fn: (byte) => {
    const [sign, exponent, mantissa] = [byte & 0x80 ? -1 : 1, (byte >>> 3) & 0xf, byte & 7];
    if (exponent === 0xf && mantissa === 7) return Number.NaN;
    return sign * (exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10));
  },
  // The upper half of a half.
  e5m2: (byte) => halvesToFloats(Uint16Array.of(byte << 8))[0]!,
  e8m0fnu: (byte) => (byte === 0xff ? Number.NaN : 2 ** (byte - 127)),
};

/** Exact: every float of one byte is a single-precision number. */
export function bytesToFloats(bytes: Uint8Array, format: SmallFloat): Float32Array<ArrayBuffer> {
  const table = Float32Array.from({ length: 256 }, (_, byte) => SMALL_FLOAT_VALUES[format](byte));
  return Float32Array.from(bytes, (byte) => table[byte]!);
}

/** From the bits of a single-precision number: 8 exponent bits with bias 127 become 5 with bias 15. */
function roundToHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x47800000) {
    // 2^16 and above: infinite, or a NaN that must not lose its last mantissa bit and so become infinite.
    return magnitude > 0x7f800000 ? sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff) : sign | 0x7c00;
  }
  if (magnitude < 0x38800000) {
    // Below 2^-14 a half counts in units of 2^-24; up to 2^-25 the nearest is zero (2^-25 is a tie).
    if (magnitude <= 0x33000000) return sign;
    const mantissa = (magnitude & 0x7fffff) | 0x800000;
    const shift = 126 - (magnitude >>> 23);
    return sign | shiftRoundingToEven(mantissa, shift);
  }
  // A carry out of the mantissa runs into the exponent, which is the right answer up to infinity.
  return sign | shiftRoundingToEven(magnitude - 0x38000000, 13);
}

function shiftRoundingToEven(value: number, shift: number): number {
  const isOdd = (value >>> shift) & 1;
  return (value + (1 << (shift - 1)) - 1 + isOdd) >>> shift;
}

let widened: Uint32Array | undefined;

/** Single-precision bits of all 65,536 halves, made on first use. */
function widenedHalves(): Uint32Array {
  if (widened !== undefined) return widened;
  widened = new Uint32Array(0x10000);
  for (let half = 0; half < 0x10000; half++) {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 0x1f;
    const mantissa = half & 0x3ff;
    if (exponent === 0) {
      floatOf[0] = mantissa * 2 ** -24;
      widened[half] = sign | bitsOf[0]!;
    } else {
      const exponentBits = exponent === 0x1f ? 0xff : exponent - 15 + 127;
      widened[half] = sign | (exponentBits << 23) | (mantissa << 13);
    }
  }
  return widened;
}
