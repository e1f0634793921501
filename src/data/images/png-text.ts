/** @file A text in a PNG file: the chunk `tEXt` of the format, which viewers pass over. https://www.w3.org/TR/png-3/#11tEXt */
import { crc32 } from '../../formats/crc32.ts';

/** Signature and the chunk `IHDR`, which must be the first. */
const HEAD_BYTES = 33;
const SIGNATURE_BYTES = 8;
/** Of a chunk beside its data: length, type and checksum. */
const FRAME_BYTES = 12;
const TYPE_BYTES = 4;

/**
 * A PNG file with a text after its head. Texts are of Latin-1; other characters are for the caller to escape.
 *
 * @param keyword - what the text is, from 1 to 79 characters
 */
export function withPngText(png: Uint8Array, keyword: string, text: string): Uint8Array {
  const content = Uint8Array.from(`tEXt${keyword}\0${text}`, (char) => char.charCodeAt(0));
  const result = new Uint8Array(png.length + FRAME_BYTES - TYPE_BYTES + content.length);
  const view = new DataView(result.buffer);
  const end = HEAD_BYTES + 4 + content.length;
  result.set(png.subarray(0, HEAD_BYTES));
  view.setUint32(HEAD_BYTES, content.length - TYPE_BYTES);
  result.set(content, HEAD_BYTES + 4);
  view.setUint32(end, crc32(content));
  result.set(png.subarray(HEAD_BYTES), end + 4);
  return result;
}

/** The text under a keyword before the pixels of a PNG file; undefined where there is none. */
export function pngText(png: Uint8Array, keyword: string): string | undefined {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  for (let at = SIGNATURE_BYTES; at + FRAME_BYTES <= png.length; ) {
    const length = view.getUint32(at);
    const [type, content] = [latin1(png.subarray(at + 4, at + 8)), png.subarray(at + 8, at + 8 + length)];
    if (type === 'IDAT') return undefined;
    const text = latin1(content);
    if (type === 'tEXt' && text.startsWith(`${keyword}\0`)) return text.slice(keyword.length + 1);
    at += FRAME_BYTES + length;
  }
  return undefined;
}

function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
}
