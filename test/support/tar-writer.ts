/** @file Tar archives in memory. */
import { joinBytes } from './torch-writer.ts';

export interface TarFile {
  readonly name: string;
  readonly content: Uint8Array;
}

const BLOCK = 512;

function entry(name: string, content: Uint8Array, type: string): Uint8Array {
  const bytes = new Uint8Array(BLOCK * (1 + Math.ceil(content.length / BLOCK)));
  const put = (text: string, at: number) => bytes.set(new TextEncoder().encode(text), at);
  put(name.slice(0, 100), 0);
  put('0000644\0', 100);
  put(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  put('        ', 148);
  put(type, 156);
  put('ustar\x0000', 257);
  const sum = bytes.subarray(0, BLOCK).reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  bytes.set(content, BLOCK);
  return bytes;
}

/** Long names are those of GNU tar. */
export function tarOf(files: readonly TarFile[]): Uint8Array {
  const entries = files.flatMap(({ name, content }) => [
    ...(name.length > 100 ? [entry('././@LongLink', new TextEncoder().encode(`${name}\0`), 'L')] : []),
    entry(name, content, '0'),
  ]);
  return joinBytes(...entries, new Uint8Array(2 * BLOCK));
}
