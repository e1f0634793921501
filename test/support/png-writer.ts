/** @file PNG files of every kind of pixel, byte by byte: image libraries write only some. */
import { crc32, deflateSync } from 'node:zlib';

/** Values of a PNG's colour type. */
export const COLOUR_TYPES = { grey: 0, rgb: 2, palette: 3, greyAlpha: 4, rgba: 6 } as const;

export interface PngRow {
  readonly colour: keyof typeof COLOUR_TYPES;
  /** Per channel. */
  readonly bits: 1 | 8 | 16;
  readonly width: number;
  /** Of the only row, as the file has them. */
  readonly bytes: readonly number[];
  /** RGB after RGB. */
  readonly palette?: readonly number[];
  /** Content of `tRNS`: alpha of the palette's entries, or the grey or colour that is transparent. */
  readonly transparency?: readonly number[];
}

/** A PNG file of one row. */
export function pngFile({ colour, bits, width, bytes, palette, transparency }: PngRow): Buffer {
  const size = [0, 0, width >> 8, width & 0xff, 0, 0, 0, 1];
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', [...size, bits, COLOUR_TYPES[colour], 0, 0, 0]),
    ...(palette === undefined ? [] : [chunk('PLTE', palette)]),
    ...(transparency === undefined ? [] : [chunk('tRNS', transparency)]),
    chunk('IDAT', deflateSync(Uint8Array.from([0, ...bytes]))),
    chunk('IEND', []),
  ]);
}

/** length · type · content · CRC of type and content */
function chunk(type: string, content: Iterable<number>): Buffer {
  const body = Buffer.concat([Buffer.from(type), Uint8Array.from(content)]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(body.length - type.length);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}
