/** @file PBM, PGM and PPM: bits, grey levels and colours, as text (P1 to P3) or bytes (P4 to P6). */
import { roundHalfToEven } from '../../core/rounding.ts';
import { clippedGrey, greyToRgb } from './colour-spaces.ts';
import { expectDecodableSize } from './image-formats.ts';
import type { PixelImage } from './pixel-image.ts';
import { UnreadableImage } from './unreadable-image.ts';

const CHANNELS_OF_KIND: Readonly<Record<string, 1 | 3>> = { P1: 1, P2: 1, P3: 3, P4: 1, P5: 1, P6: 3 };
const LARGEST_MAXIMUM = 65535;

export function isNetpbm(bytes: Uint8Array): boolean {
  return kindOf(bytes) in CHANNELS_OF_KIND && isSpace(bytes[2]!);
}

/**
 * Levels below a maximum become shares of 255, as Pillow has them: those of PGM above 255 are cut off.
 *
 * @throws UnreadableImage for a header or pixels that are not there
 */
export function readNetpbm(bytes: Uint8Array): { readonly image: PixelImage; readonly clipped: boolean } {
  const kind = kindOf(bytes);
  const channels = CHANNELS_OF_KIND[kind]!;
  const isBits = kind === 'P1' || kind === 'P4';
  const isText = kind <= 'P3';
  const reader = new NumberReader(bytes, kind.length);
  const [width, height] = [reader.next('width'), reader.next('height')];
  const maximum = isBits ? 1 : reader.next('largest level');
  if (maximum < 1 || maximum > LARGEST_MAXIMUM) {
    throw new UnreadableImage(`its largest level is ${maximum}, not 1 to ${LARGEST_MAXIMUM}`);
  }
  expectDecodableSize(width, height);
  const count = width * height * channels;
  const levels = isText
    ? reader.levels(count, isBits)
    : // One space ends the header.
      binaryLevels(bytes.subarray(reader.position + 1), { width, count, isBits, maximum });
  if (channels === 3) return { image: rgbImage(width, height, scaled(levels, maximum, 255)), clipped: false };
  if (isBits) {
    // A bit is ink.
    const grey = levels.map((ink) => (ink === 0 ? 255 : 0));
    return { image: rgbImage(width, height, greyToRgb(grey)), clipped: false };
  }
  const { data, clipped } = clippedGrey(scaled(levels, maximum, maximum <= 255 ? 255 : LARGEST_MAXIMUM));
  return { image: rgbImage(width, height, greyToRgb(data)), clipped };
}

function kindOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, 2));
}

function rgbImage(width: number, height: number, data: ArrayLike<number>): PixelImage {
  return { width, height, channels: 3, data: data instanceof Uint8Array ? data : Uint8Array.from(data) };
}

function scaled(levels: Uint16Array, maximum: number, white: number): Uint16Array {
  if (maximum === white) return levels;
  return levels.map((level) => Math.min(white, roundHalfToEven((level / maximum) * white)));
}

interface BinaryLayout {
  readonly width: number;
  /** Of levels. */
  readonly count: number;
  readonly isBits: boolean;
  readonly maximum: number;
}

function binaryLevels(bytes: Uint8Array, { width, count, isBits, maximum }: BinaryLayout): Uint16Array {
  if (isBits) {
    const stride = Math.ceil(width / 8);
    expectBytes(bytes, stride * (count / width));
    const bitAt = (column: number, row: number) =>
      (bytes[row * stride + (column >> 3)]! >> (7 - (column & 7))) & 1;
    return Uint16Array.from({ length: count }, (_, i) => bitAt(i % width, Math.floor(i / width)));
  }
  if (maximum <= 255) {
    expectBytes(bytes, count);
    return Uint16Array.from(bytes.subarray(0, count));
  }
  expectBytes(bytes, 2 * count);
  return Uint16Array.from({ length: count }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
}

function expectBytes(bytes: Uint8Array, needed: number): void {
  if (bytes.length >= needed) return;
  throw new UnreadableImage(`cut off or damaged (${bytes.length} of ${needed} bytes of pixels)`);
}

const [SPACE, TAB, CARRIAGE_RETURN, HASH, LINE_FEED, ZERO] = [32, 9, 13, 35, 10, 48];

function isSpace(byte: number): boolean {
  return byte === SPACE || (byte >= TAB && byte <= CARRIAGE_RETURN);
}

/** Numbers in text, between spaces and comments. */
class NumberReader {
  position: number;
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array, position: number) {
    this.bytes = bytes;
    this.position = position;
  }

  /** @throws UnreadableImage if there is none */
  next(name: string): number {
    this.skipSpaces();
    const start = this.position;
    let value = 0;
    for (let digit = this.digit(); digit !== undefined && this.position - start < 10; digit = this.digit()) {
      value = 10 * value + digit;
      this.position++;
    }
    if (this.position > start) return value;
    throw new UnreadableImage(`cut off or damaged (no number for its ${name})`);
  }

  levels(count: number, isBits: boolean): Uint16Array {
    // A level takes a byte at least.
    expectBytes(this.bytes.subarray(this.position), count);
    return Uint16Array.from({ length: count }, () => (isBits ? this.bit() : this.next('levels')));
  }

  /** Bits may follow each other without a space. */
  private bit(): number {
    this.skipSpaces();
    const bit = this.digit();
    if (bit !== 0 && bit !== 1) throw new UnreadableImage('cut off or damaged (no bit for a pixel)');
    this.position++;
    return bit;
  }

  private digit(): number | undefined {
    const digit = this.bytes[this.position]! - ZERO;
    return digit >= 0 && digit <= 9 ? digit : undefined;
  }

  private skipSpaces(): void {
    while (this.position < this.bytes.length) {
      if (this.bytes[this.position] === HASH) this.skipLine();
      else if (!isSpace(this.bytes[this.position]!)) return;
      else this.position++;
    }
  }

  private skipLine(): void {
    const end = this.bytes.indexOf(LINE_FEED, this.position);
    this.position = end < 0 ? this.bytes.length : end;
  }
}
