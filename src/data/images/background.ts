/** @file What shows through a picture with transparency. */
import { ConfigError } from '../../core/errors.ts';
import type { PixelImage } from './pixel-image.ts';

/** A colour to lay pictures on; `drop` takes alpha away, and the colours hidden under it show, as for the reference. */
export type Background = 'white' | 'black' | 'drop' | `#${string}`;

/** The values of {@link Background} in words. */
export const BACKGROUNDS = 'white, black, drop or a colour such as #ff8800';

export type Rgb = readonly [red: number, green: number, blue: number];

const COLOURS: Readonly<Record<string, Rgb | null>> = {
  white: [255, 255, 255],
  black: [0, 0, 0],
  drop: null,
};

const HEX_COLOUR = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i;

/** The colour behind pictures; null where alpha is dropped, undefined for what is no background. */
function findColour(background: string): Rgb | null | undefined {
  if (Object.hasOwn(COLOURS, background)) return COLOURS[background];
  const [, ...hex] = HEX_COLOUR.exec(background) ?? [];
  return hex.length === 0 ? undefined : (hex.map((byte) => Number.parseInt(byte, 16)) as unknown as Rgb);
}

export function isBackground(value: unknown): value is Background {
  return typeof value === 'string' && findColour(value) !== undefined;
}

/**
 * The colour behind pictures; null where alpha is dropped.
 *
 * @throws ConfigError for what is no background
 */
export function backgroundColour(where: string, background: Background): Rgb | null {
  const colour = findColour(background);
  if (colour !== undefined) return colour;
  throw new ConfigError({
    where,
    problem: `the background is ${JSON.stringify(background)}`,
    fix: `use ${BACKGROUNDS}`,
  });
}

const COLOUR_CHANNELS = 3;
const OPAQUE = 255;

/** Does anything show through? An alpha channel that is opaque everywhere does not count. */
export function hasTransparency({ channels, data }: PixelImage): boolean {
  if (channels <= COLOUR_CHANNELS) return false;
  for (let i = COLOUR_CHANNELS; i < data.length; i += channels) if (data[i] !== OPAQUE) return true;
  return false;
}

/**
 * RGB of a picture whose fourth channel, if it has one, is alpha; further channels are passed over, as Pillow does.
 *
 *     out = round((alpha · colour + (255 - alpha) · background) / 255)
 *
 * This is Pillow's `Image.alpha_composite` onto an opaque picture, byte for byte: on the encoded values, as browsers and
 * paint programs show pictures.
 */
export function layOn(image: PixelImage, background: Rgb | null): PixelImage {
  const { width, height, channels, data } = image;
  if (channels === COLOUR_CHANNELS) return image;
  const rgb = new Uint8Array(width * height * COLOUR_CHANNELS);
  for (let from = 0, to = 0; from < data.length; from += channels, to += COLOUR_CHANNELS) {
    const alpha = background === null ? OPAQUE : data[from + COLOUR_CHANNELS]!;
    for (let c = 0; c < COLOUR_CHANNELS; c++) {
      const behind = (OPAQUE - alpha) * (background?.[c] ?? 0);
      rgb[to + c] = Math.round((alpha * data[from + c]! + behind) / OPAQUE);
    }
  }
  return { width, height, channels: COLOUR_CHANNELS, data: rgb };
}
