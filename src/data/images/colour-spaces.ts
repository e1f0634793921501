/** @file Pixels of other colour spaces as 8-bit RGB, by Pillow's integer formulas, so that they are its pixels. */

const RGB = 3;

/**
 * Four inks per pixel, 0 is no ink: each colour is what its ink and black leave of the light.
 *
 *     out = (255 - black) · (255 - ink) / 255
 *
 * @param channels - of a pixel; those after the fourth are passed over
 */
export function cmykToRgb(inks: Uint8Array, channels: number): Uint8Array {
  const rgb = new Uint8Array((inks.length / channels) * RGB);
  for (let from = 0, to = 0; to < rgb.length; from += channels, to += RGB) {
    const light = 255 - inks[from + 3]!;
    for (let c = 0; c < RGB; c++) rgb[to + c] = light - dividedBy255(inks[from + c]! * light);
  }
  return rgb;
}

/** Rounded; exact for products of two bytes. */
function dividedBy255(product: number): number {
  const shifted = product + 128;
  return ((shifted >> 8) + shifted) >> 8;
}

/**
 * Luminance and two colour differences per pixel, as JPEG has them.
 *
 * @param channels - of a pixel; those after the third are passed over
 */
export function yCbCrToRgb(values: Uint8Array, channels: number): Uint8Array {
  const rgb = new Uint8ClampedArray((values.length / channels) * RGB);
  for (let from = 0, to = 0; to < rgb.length; from += channels, to += RGB) {
    const [y, cb, cr] = [values[from]!, values[from + 1]!, values[from + 2]!];
    rgb[to] = y + (RED_OF_CR[cr]! >> FRACTION_BITS);
    rgb[to + 1] = y + ((GREEN_OF_CB[cb]! + GREEN_OF_CR[cr]!) >> FRACTION_BITS);
    rgb[to + 2] = y + (BLUE_OF_CB[cb]! >> FRACTION_BITS);
  }
  return new Uint8Array(rgb.buffer);
}

const FRACTION_BITS = 6;
const RED_OF_CR = weighted(1.402);
const GREEN_OF_CB = weighted(-0.34414);
const GREEN_OF_CR = weighted(-0.71414);
const BLUE_OF_CB = weighted(1.772);

/** By the byte of a colour difference, whose zero is 128, in fixed point. */
function weighted(weight: number): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => weight * (byte - 128) * 2 ** FRACTION_BITS + 0.5);
}

/** Grey levels above 255 become 255: Pillow takes those of 16 bits for numbers, not for shares of the largest. */
export function clippedGrey(levels: ArrayLike<number>): {
  readonly data: Uint8Array;
  readonly clipped: boolean;
} {
  const data = new Uint8Array(levels.length);
  let clipped = false;
  for (let i = 0; i < levels.length; i++) {
    if (levels[i]! > 255) clipped = true;
    data[i] = Math.min(255, levels[i]!);
  }
  return { data, clipped };
}

/** Each grey level as three equal channels. */
export function greyToRgb(levels: ArrayLike<number>): Uint8Array {
  return Uint8Array.from({ length: levels.length * RGB }, (_, i) => levels[Math.floor(i / RGB)]!);
}
