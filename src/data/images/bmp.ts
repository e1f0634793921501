/** @file BMP: pictures of Windows and OS/2, with palettes, 16, 24 or 32 bits a pixel, plain or run-length coded. */
import { expectDecodableSize } from './image-formats.ts';
import type { PixelImage } from './pixel-image.ts';
import { UnreadableImage } from './unreadable-image.ts';

const FILE_HEADER_BYTES = 14;
/** OS/2's first header, with sides of 16 bits and palettes of three bytes a colour. */
const CORE_HEADER_BYTES = 12;
const INFO_HEADER_BYTES = 40;
/** From this header on there is a mask for alpha. */
const HEADER_BYTES_WITH_ALPHA = 56;

const COMPRESSIONS = ['plain', 'rle8', 'rle4', 'masks'] as const;
type Compression = (typeof COMPRESSIONS)[number];

interface BmpHeader {
  readonly width: number;
  readonly height: number;
  readonly isTopDown: boolean;
  readonly bits: number;
  readonly compression: Compression;
  /** Red, green, blue and, where there is one, alpha; of 16 and 32 bits a pixel. */
  readonly masks: readonly number[];
  /** B G R, and an unused byte but for OS/2. */
  readonly palette: Uint8Array;
  readonly paletteStride: 3 | 4;
  readonly pixels: Uint8Array;
}

export function isBmp(bytes: Uint8Array): boolean {
  return bytes[0] === 0x42 && bytes[1] === 0x4d;
}

/**
 * Three channels, or four where a mask says which bits are alpha.
 *
 * @throws UnreadableImage for a header, palette or pixels that are not there
 */
export function readBmp(bytes: Uint8Array): PixelImage {
  const header = readHeader(bytes);
  return header.bits <= 8 ? fromPalette(header) : fromMasks(header);
}

function readHeader(bytes: Uint8Array): BmpHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < FILE_HEADER_BYTES + CORE_HEADER_BYTES) throw cutOff('its header is not whole');
  const headerBytes = view.getUint32(FILE_HEADER_BYTES, true);
  const isCore = headerBytes === CORE_HEADER_BYTES;
  if (!isCore && headerBytes < INFO_HEADER_BYTES) throw cutOff(`a header of ${headerBytes} bytes`);
  if (bytes.length < FILE_HEADER_BYTES + headerBytes) throw cutOff('its header is not whole');
  const at = (offset: number) => view.getUint32(FILE_HEADER_BYTES + offset, true);
  const short = (offset: number) => view.getUint16(FILE_HEADER_BYTES + offset, true);
  const signedHeight = isCore ? short(6) : view.getInt32(FILE_HEADER_BYTES + 8, true);
  const [width, height] = [isCore ? short(4) : at(4), Math.abs(signedHeight)];
  expectDecodableSize(width, height);
  const bits = short(isCore ? 10 : 14);
  const compression = COMPRESSIONS[isCore ? 0 : at(16)];
  if (compression === undefined || !fits(compression, bits)) {
    throw new UnreadableImage(
      `a BMP of ${bits} bits a pixel with compression ${isCore ? 0 : at(16)} cannot be read`,
    );
  }
  // After the oldest header with masks they stand on their own, where a palette would be.
  const looseMasks = compression === 'masks' && headerBytes === INFO_HEADER_BYTES ? 12 : 0;
  const paletteStart = FILE_HEADER_BYTES + headerBytes + looseMasks;
  if (bytes.length < paletteStart) throw cutOff('its masks are not whole');
  const maskCount = headerBytes >= HEADER_BYTES_WITH_ALPHA && at(52) !== 0 ? 4 : 3;
  const paletteStride = isCore ? 3 : 4;
  const colours = bits > 8 ? 0 : (!isCore && at(32)) || 2 ** bits;
  return {
    width,
    height,
    isTopDown: signedHeight < 0,
    bits,
    compression,
    masks:
      compression === 'masks'
        ? Array.from({ length: maskCount }, (_, i) => at(INFO_HEADER_BYTES + 4 * i))
        : (USUAL_MASKS[bits] ?? []),
    palette: bytes.subarray(paletteStart, paletteStart + Math.min(colours, 2 ** bits) * paletteStride),
    paletteStride,
    pixels: bytes.subarray(view.getUint32(10, true)),
  };
}

const USUAL_MASKS: Readonly<Record<number, readonly number[]>> = {
  16: [0x7c00, 0x03e0, 0x001f],
  24: [0xff0000, 0xff00, 0xff],
  32: [0xff0000, 0xff00, 0xff],
};

function fits(compression: Compression, bits: number): boolean {
  switch (compression) {
    case 'plain':
      return [1, 4, 8, 16, 24, 32].includes(bits);
    case 'rle8':
      return bits === 8;
    case 'rle4':
      return bits === 4;
    case 'masks':
      return bits === 16 || bits === 32;
  }
}

/** Where row `fileRow` of the file goes: files begin with the lowest, unless they say otherwise. */
function rowOf(fileRow: number, { height, isTopDown }: BmpHeader): number {
  return isTopDown ? fileRow : height - 1 - fileRow;
}

/** Bytes from row to row: a multiple of four. */
function strideOf({ width, height, bits, pixels }: BmpHeader): number {
  const stride = Math.ceil((width * bits) / 32) * 4;
  // The last row may lack the bytes that fill it up.
  const needed = stride * (height - 1) + Math.ceil((width * bits) / 8);
  if (pixels.length < needed) throw cutOff(`${pixels.length} of ${needed} bytes of pixels`);
  return stride;
}

function fromMasks(header: BmpHeader): PixelImage {
  const { width, height, bits, masks, pixels } = header;
  const stride = strideOf(header);
  const pixelBytes = bits / 8;
  const channels = masks.length;
  const data = new Uint8Array(width * height * channels);
  const fields = masks.map((mask) => {
    const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
    return { mask, shift, largest: Math.max(1, mask >>> shift) };
  });
  for (let fileRow = 0; fileRow < height; fileRow++) {
    let to = rowOf(fileRow, header) * width * channels;
    for (let column = 0; column < width; column++) {
      const from = fileRow * stride + column * pixelBytes;
      let pixel = 0;
      for (let byte = 0; byte < pixelBytes; byte++) pixel |= pixels[from + byte]! << (8 * byte);
      for (const { mask, shift, largest } of fields) {
        data[to++] = Math.floor((((pixel & mask) >>> shift) * 255) / largest);
      }
    }
  }
  return { width, height, channels, data };
}

function fromPalette(header: BmpHeader): PixelImage {
  const indices = header.compression === 'plain' ? plainIndices(header) : runLengthIndices(header);
  const { palette, paletteStride, width, height } = header;
  const data = new Uint8Array(width * height * 3);
  for (let fileRow = 0; fileRow < height; fileRow++) {
    let to = rowOf(fileRow, header) * width * 3;
    for (let column = 0; column < width; column++) {
      const entry = indices[fileRow * width + column]! * paletteStride;
      // Colours that the palette lacks are black.
      for (let c = 2; c >= 0; c--) data[to++] = palette[entry + c] ?? 0;
    }
  }
  return { width, height, channels: 3, data };
}

function plainIndices(header: BmpHeader): Uint8Array {
  const { width, height, bits, pixels } = header;
  const stride = strideOf(header);
  const perByte = 8 / bits;
  return Uint8Array.from({ length: width * height }, (_, i) => {
    const [column, row] = [i % width, Math.floor(i / width)];
    const byte = pixels[row * stride + Math.floor(column / perByte)]!;
    return (byte >> (8 - bits * ((column % perByte) + 1))) & (2 ** bits - 1);
  });
}

const [END_OF_ROW, END_OF_PICTURE, MOVE] = [0, 1, 2];
const LONGEST_RUN = 255;

/** Runs of an index (or of two in turn), indices as they are, and moves over pixels of index 0. */
function runLengthIndices({ width, height, bits, pixels }: BmpHeader): Uint8Array {
  if (width * height > LONGEST_RUN * pixels.length) throw cutOff('its runs have no end');
  const indices = new Uint8Array(width * height);
  let [at, column, row] = [0, 0, 0];
  const put = (index: number) => {
    if (column < width && row < height) indices[row * width + column] = index;
    column++;
  };
  /** Of two nibbles of a byte, or of a byte. */
  const indexOf = (byte: number, i: number) => (bits === 8 ? byte : i % 2 === 0 ? byte >> 4 : byte & 15);
  for (;;) {
    if (at + 2 > pixels.length) throw cutOff('its runs have no end');
    const [count, value] = [pixels[at++]!, pixels[at++]!];
    if (count > 0) {
      for (let i = 0; i < count; i++) put(indexOf(value, i));
    } else if (value === END_OF_ROW) {
      [column, row] = [0, row + 1];
    } else if (value === END_OF_PICTURE) {
      return indices;
    } else if (value === MOVE) {
      column += pixels[at++] ?? 0;
      row += pixels[at++] ?? 0;
    } else {
      const bytes = Math.ceil((value * bits) / 8);
      if (at + bytes > pixels.length) throw cutOff('its runs have no end');
      for (let i = 0; i < value; i++) put(indexOf(pixels[at + Math.floor((i * bits) / 8)]!, i));
      // Such bytes are even in number.
      at += bytes + (bytes % 2);
    }
  }
}

function cutOff(detail: string): UnreadableImage {
  return new UnreadableImage(`cut off or damaged (${detail})`);
}
