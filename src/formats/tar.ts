/**
 * @file Tar archives, listed without reading their contents: ustar with the long names and sizes of GNU tar and of pax.
 * https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
 */
import { DataError } from '../core/errors.ts';
import type { ByteSource } from './byte-source.ts';

export interface TarEntry {
  readonly name: string;
  /** Of the content in the archive. */
  readonly begin: number;
  readonly size: number;
}

const BLOCK = 512;
/** Names and sizes take a few hundred bytes. */
const MAX_EXTENSION_BYTES = 2 ** 20;

const TYPES = { file: ['0', '\0', '7'], longName: 'L', longLink: 'K', pax: 'x', paxForAll: 'g' };

/**
 * The files of an archive, in its order.
 *
 * @param where what the user calls the archive
 * @throws DataError if it is damaged or cut off
 */
export async function* tarEntries(source: ByteSource, where: string): AsyncGenerator<TarEntry> {
  let longName: string | undefined;
  let longSize: number | undefined;
  for (let at = 0; at + BLOCK <= source.size; ) {
    const header = await source.read(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) return;
    expectHeader(header, at, where);
    const type = String.fromCharCode(header[156]!);
    const begin = at + BLOCK;
    const size = (TYPES.file.includes(type) ? longSize : undefined) ?? numberAt(header, 124, 12);
    if (!(size >= 0 && begin + size <= source.size)) throw cutOff(where, at, size, source.size);
    at = begin + Math.ceil(size / BLOCK) * BLOCK;
    if (type === TYPES.longName || type === TYPES.pax) {
      if (size > MAX_EXTENSION_BYTES) throw damagedTar(where, begin, `a name of ${size} bytes`);
      const text = new TextDecoder().decode(await source.read(begin, begin + size));
      if (type === TYPES.longName) longName = text.replace(/\0.*$/s, '');
      else {
        const records = paxRecords(text);
        longName = records.get('path') ?? longName;
        longSize = records.has('size') ? Number(records.get('size')) : longSize;
      }
      continue;
    }
    if (type === TYPES.longLink || type === TYPES.paxForAll) continue;
    if (TYPES.file.includes(type)) yield { name: longName ?? shortName(header), begin, size };
    longName = undefined;
    longSize = undefined;
  }
}

/** The checksum of a header counts its own eight bytes as spaces. */
function expectHeader(header: Uint8Array, at: number, where: string): void {
  const [begin, end] = [148, 156];
  const sum = header.reduce((total, byte, i) => total + (i >= begin && i < end ? 0x20 : byte), 0);
  if (sum !== numberAt(header, begin, end - begin)) throw damagedTar(where, at, 'a wrong checksum');
}

/** Octal digits; or, where the first bit is set, the number itself in base 256. */
function numberAt(header: Uint8Array, begin: number, length: number): number {
  const field = header.subarray(begin, begin + length);
  if ((field[0]! & 0x80) !== 0) {
    return field.reduce((value, byte, i) => value * 256 + (i === 0 ? byte & 0x7f : byte), 0);
  }
  return Number.parseInt(textOf(field).trim() || '0', 8);
}

/** Up to the first zero. */
function textOf(field: Uint8Array): string {
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

function shortName(header: Uint8Array): string {
  const isUstar = textOf(header.subarray(257, 263)).startsWith('ustar');
  const prefix = isUstar ? textOf(header.subarray(345, 500)) : '';
  const name = textOf(header.subarray(0, 100));
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** Lines such as `27 path=some/long/name`, which begin with their length in bytes. */
function paxRecords(text: string): ReadonlyMap<string, string> {
  return new Map(
    [...text.matchAll(/(?:^|\n)\d+ ([^=\n]+)=([^\n]*)/g)].map(([, key, value]) => [key!, value!] as const),
  );
}

function damagedTar(where: string, at: number, problem: string): DataError {
  return new DataError({
    where,
    problem: `not a sound tar archive: ${problem} at byte ${at}`,
    fix: 'the file is damaged, compressed or of another kind: copy it again, or unpack .tar.gz first',
  });
}

function cutOff(where: string, at: number, size: number, fileBytes: number): DataError {
  return new DataError({
    where,
    problem: `the archive is cut off: the file at byte ${at} takes ${size} bytes, but ${fileBytes} are all there are`,
    fix: 'copy it again',
  });
}
